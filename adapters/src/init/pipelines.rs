//! The pipelines that are written.

use super::{Facts, Target};

/// Where everything of ours is referred to.
const HOME: &str = "https://github.com/yadokari-build/yadokari";

/// A text in YAML's quotes: JSON's are a part of them.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A run of our Pipeline: clone, build, push.
pub(super) fn tekton(facts: &Facts) -> String {
    let Facts { image, dockerfile, context, branch, url, .. } = facts;
    let name = image.rsplit('/').next().unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = name.trim_matches('-').chars().take(40).collect::<String>();
    let url = url.as_deref().unwrap_or("https://git.example.com/team/app.git");
    format!(
        "# kubectl create -f tekton/image.yaml
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata:
  generateName: {name}-image-
spec:
  pipelineRef:
    resolver: git
    params:
      - name: url
        value: {HOME}
      - name: revision
        value: main
      - name: pathInRepo
        value: tekton/pipeline/yadokari-build/0.1/yadokari-build.yaml
  params:
    - name: url
      value: {}
    - name: revision
      value: {}
    - name: image
      value: {}
    - name: dockerfile
      value: {}
    - name: context
      value: {}
  workspaces:
    - name: source
      volumeClaimTemplate:
        spec:
          accessModes: [ReadWriteOnce]
          resources:
            requests:
              storage: 1Gi
    - name: dockerconfig
      secret:
        secretName: registry
",
        quoted(url),
        quoted(branch),
        quoted(&format!("{image}:latest")),
        quoted(dockerfile),
        quoted(context),
    )
}

/// The component, and a job that uses the digest.
pub(super) fn gitlab(facts: &Facts) -> String {
    let mut inputs = String::new();
    // Without an image it is the project's own registry, tagged with the tag or the branch.
    for (name, value, default) in [
        ("image", &facts.image, facts.own.then_some(&facts.image)),
        ("context", &facts.context, Some(&".".to_owned())),
        ("dockerfile", &facts.dockerfile, Some(&"Dockerfile".to_owned())),
    ] {
        if Some(value) != default {
            inputs += &format!("      {name}: {}\n", quoted(value));
        }
    }
    if !inputs.is_empty() {
        inputs = format!("    inputs:\n{inputs}");
    }
    format!(
        "include:
  - remote: https://raw.githubusercontent.com/yadokari-build/yadokari/main/gitlab/templates/build/template.yml
{inputs}
# What comes after the build names the image by its digest.
use-image:
  stage: deploy
  needs: [yadokari-build]
  script:
    - echo \"built $IMAGE_REF\"
"
    )
}

/// A workflow that pushes branches and tags, and only builds pull requests.
pub(super) fn github(facts: &Facts) -> String {
    let Facts { image, own, dockerfile, context, branch, .. } = facts;
    let login = match own {
        true => "          username: ${{ github.actor }}\n          password: ${{ secrets.GITHUB_TOKEN }}\n",
        false => {
            "          username: ${{ secrets.REGISTRY_USERNAME }}\n          password: ${{ secrets.REGISTRY_PASSWORD }}\n"
        }
    };
    let mut files = String::new();
    if context != "." {
        files += &format!("          context: {}\n", quoted(context));
    }
    if dockerfile != "Dockerfile" {
        files += &format!("          file: {}\n", quoted(dockerfile));
    }
    let packages = if *own { "\n      packages: write" } else { "" };
    format!(
        "name: image
on:
  push:
    branches: [{}]
    tags: [\"v*\"]
  pull_request:

permissions: {{}}

jobs:
  image:
    runs-on: ubuntu-latest
    permissions:
      contents: read{packages}
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - id: build
        uses: yadokari-build/yadokari/github-action@main
        with:
{files}          images: {}
          tags: |
            type=semver,pattern={{{{version}}}}
            type=ref,event=branch
            type=ref,event=pr
          push: ${{{{ github.event_name != 'pull_request' }}}}
{login}      - env:
          DIGEST: ${{{{ steps.build.outputs.digest }}}}
        run: echo \"built $DIGEST\"
",
        quoted(branch),
        quoted(image),
    )
}

/// What is left to do.
pub(super) fn remarks(platform: Target, facts: &Facts) -> Vec<String> {
    let host = facts.image.split('/').next().unwrap_or_default();
    match platform {
        Target::Tekton => vec![format!(
            "the Secret registry holds the account: kubectl create secret docker-registry registry \
             --docker-server={host} --docker-username=… --docker-password=…"
        )],
        Target::Github if !facts.own => {
            vec![format!("set the secrets REGISTRY_USERNAME and REGISTRY_PASSWORD for {host}")]
        }
        Target::Gitlab if !facts.own => {
            vec![format!("set the variable DOCKER_AUTH_CONFIG for {host}: docker's config.json")]
        }
        Target::Github | Target::Gitlab => Vec::new(),
    }
}
