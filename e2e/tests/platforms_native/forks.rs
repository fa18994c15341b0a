//! Somebody else's code is built, and pushed only where that is asked for.

use std::fs;

use super::Job;

/// Variables of a system.
type Variables = [(&'static str, &'static str)];

#[test]
fn pull_requests_from_forks_are_not_pushed() {
    let systems: [(&str, &Variables, &Variables); 5] = [
        (
            "azure",
            &[("TF_BUILD", "True"), ("SYSTEM_PULLREQUEST_ISFORK", "True")],
            &[("SYSTEM_PULLREQUEST_ISFORK", "False")],
        ),
        (
            "buildkite",
            &[
                ("BUILDKITE", "true"),
                ("BUILDKITE_REPO", "git@github.com:acme/app.git"),
                ("BUILDKITE_PULL_REQUEST_REPO", "https://github.com/mallory/app.git"),
            ],
            &[("BUILDKITE_PULL_REQUEST_REPO", "git://github.com/acme/app.git")],
        ),
        (
            "circleci",
            &[("CIRCLECI", "true"), ("CIRCLE_PR_USERNAME", "mallory")],
            &[("CIRCLE_PR_USERNAME", "")],
        ),
        (
            "jenkins",
            &[("JENKINS_URL", "https://j.example"), ("BUILD_NUMBER", "7"), ("CHANGE_FORK", "mallory")],
            &[("CHANGE_FORK", "")],
        ),
        (
            "travis",
            &[
                ("TRAVIS", "true"),
                ("TRAVIS_REPO_SLUG", "acme/app"),
                ("TRAVIS_PULL_REQUEST_SLUG", "mallory/app"),
            ],
            &[("TRAVIS_PULL_REQUEST_SLUG", "acme/app")],
        ),
    ];
    for (name, fork, own) in systems {
        let mut job = Job::new("YADOKARI_");
        fs::write(job.project().join("Dockerfile"), "FROM scratch\nCOPY hostile /\n").expect("written");
        let image = job.reference("team/app");
        job = job.set("YADOKARI_IMAGE", &image);
        job = fork.iter().fold(job, |job, (variable, value)| job.set(variable, value));
        let finished = job.run(&[]);
        assert_eq!(finished.code, 0, "{name}: {}", finished.output());
        let said = "comes from a fork: the image is not pushed (YADOKARI_PUSH_FROM_FORKS=true pushes it)";
        assert!(finished.output().contains(said), "{name}: {}", finished.output());
        assert!(!job.registry.has_tag("team/app", "latest"), "{name}");

        job = job.set("YADOKARI_PUSH_FROM_FORKS", "true").set("YADOKARI_TAGS", "asked");
        assert_eq!(job.run(&[]).code, 0, "{name}");
        assert!(job.registry.has_tag("team/app", "asked"), "{name}");
        job = job.set("YADOKARI_PUSH_FROM_FORKS", "").set("YADOKARI_TAGS", "own");
        job = own.iter().fold(job, |job, (variable, value)| job.set(variable, value));
        assert_eq!(job.run(&[]).code, 0, "{name}");
        assert!(job.registry.has_tag("team/app", "own"), "{name}");
    }
}
