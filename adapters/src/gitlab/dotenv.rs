//! The dotenv report, which jobs that need this one get as variables.

use yadokari::config::BuildOutcome;
use yadokari::image::{Digest, Reference};

use crate::joined::Joined;
use crate::several::{self, Made};

/// GitLab refuses larger reports.
const LIMIT: usize = 5 * 1024;
/// What GitLab takes where nobody changed its limit.
const VARIABLES: usize = 20;

/// The report: letters, digits and underscores in names, no spaces or quotes in values, one line
/// each; fewer than the 20 variables that GitLab takes. Without a push only what names no image: it is
/// not there. Every name ends with `suffix`. Also, what had to be left out.
pub(super) fn of(outcome: &BuildOutcome, suffix: &str) -> (String, Option<String>) {
    let mut text = format!("IMAGE_DIGEST{suffix}={}\n", outcome.digest);
    text += &format!("IMAGE_ID{suffix}={}\n", outcome.image_id());
    text += &format!("IMAGE_SIZE{suffix}={}\n", outcome.compressed_size());
    let dropped = names(&outcome.pushed, &outcome.digest, suffix, &mut text);
    (text, dropped)
}

/// The report of an index.
pub(super) fn of_index(joined: &Joined) -> (String, Option<String>) {
    let mut text = format!("IMAGE_DIGEST={}\n", joined.digest);
    let dropped = names(&joined.pushed, &joined.digest, "", &mut text);
    (text, dropped)
}

/// Adds the names of what was pushed.
fn names(pushed: &[Reference], digest: &Digest, suffix: &str, text: &mut String) -> Option<String> {
    let first = pushed.first()?;
    let mut put = |name: &str, value: &str| *text += &format!("{name}{suffix}={value}\n");
    let repository = format!("{}/{}", first.registry(), first.repository());
    let reference = format!("{repository}@{digest}");
    put("IMAGE_URL", &first.whole());
    put("IMAGE_REF", &reference);
    // The names of to-be-continuous' docker template.
    put("docker_image", &first.whole());
    put("docker_image_digest", &reference);
    put("docker_image_tag", first.tag().unwrap_or("latest"));
    put("docker_repository", &repository);
    put("docker_tag", first.tag().unwrap_or("latest"));
    put("docker_digest", &digest.to_string());
    let room = LIMIT.saturating_sub(text.len() + format!("IMAGE_TAGS{suffix}=\n").len());
    let (list, dropped) = tags(pushed, room);
    *text += &format!("IMAGE_TAGS{suffix}={list}\n");
    dropped
}

/// The report of several images, with the target's name behind each variable, and the names of those for
/// which there is no room.
pub(super) fn of_several<'a>(made: &'a [Made<'_>], suffix: &str) -> (String, Vec<&'a str>) {
    let mut text = String::new();
    let mut left_out = Vec::new();
    for Made { name, outcome, .. } in made {
        let target = several::variable(name);
        let mut lines = format!("IMAGE_DIGEST_{target}{suffix}={}\n", outcome.digest);
        if let Some(first) = outcome.pushed.first() {
            let reference = format!("{}/{}@{}", first.registry(), first.repository(), outcome.digest);
            lines += &format!(
                "IMAGE_URL_{target}{suffix}={}\nIMAGE_REF_{target}{suffix}={reference}\n",
                first.whole()
            );
        }
        let variables = text.lines().count() + lines.lines().count();
        match text.len() + lines.len() <= LIMIT && variables <= VARIABLES {
            true => text += &lines,
            false => left_out.push(*name),
        }
    }
    (text, left_out)
}

/// As many tags as there is room for, each whole.
fn tags(pushed: &[Reference], room: usize) -> (String, Option<String>) {
    let mut list = String::new();
    for (n, tag) in pushed.iter().map(Reference::whole).enumerate() {
        if list.len() + 1 + tag.len() > room {
            let text = format!(
                "IMAGE_TAGS has the first {n} of {} tags: GitLab takes no larger report",
                pushed.len()
            );
            return (list, Some(text));
        }
        if n > 0 {
            list.push(',');
        }
        list.push_str(&tag);
    }
    (list, None)
}
