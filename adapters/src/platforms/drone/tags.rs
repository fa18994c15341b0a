//! `tags`, the file `.tags`, `auto_tag` and `expand_tag` of Drone's plugins (drone-kaniko, `pkg/tagger`).

use std::path::Path;

use crate::settings::dialect::Read;
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// A larger `.tags` is no list of tags.
const LARGEST: u64 = 64 << 10;

/// Makes the tags that the image is pushed with; `reference` is the commit's, `branch` the main one.
///
/// # Errors
/// Tags that exclude each other, or a commit of which no tag can be made.
pub(super) fn settle(read: &mut Read, reference: Option<&str>, branch: Option<&str>) -> Result<(), Usage> {
    let (auto, expand) =
        (read.own_boolean("auto-tag")?.unwrap_or(false), read.own_boolean("expand-tag")?.unwrap_or(false));
    if read.settings.items(Key::Tags).is_empty() {
        let file = file(Path::new(".tags"))?;
        read.settings.put(Key::Tags, &file, Origin::platform("the file .tags"))?;
    }
    let tags = read.settings.items(Key::Tags);
    if auto && expand {
        return Err(Usage::new("auto_tag and expand_tag exclude each other").help("give one of them"));
    }
    if auto {
        if !tags.is_empty() && tags != ["latest"] {
            return Err(Usage::new(format!("auto_tag is given beside the tags {}", tags.join(", ")))
                .help("leave out one of them"));
        }
        let suffix = read.own("auto-tag-suffix").unwrap_or_default().trim();
        let made = automatic(reference.unwrap_or_default(), branch.unwrap_or_default(), suffix)?;
        return read.settings.put_items(Key::Tags, &made, Origin::decided("auto_tag"));
    }
    if expand {
        let made: Vec<String> = tags.iter().flat_map(|tag| expanded(tag)).collect();
        return read.settings.put_items(Key::Tags, &made, Origin::decided("expand_tag"));
    }
    Ok(())
}

fn file(path: &Path) -> Result<String, Usage> {
    match path.metadata() {
        Ok(meta) if meta.is_file() && meta.len() <= LARGEST => std::fs::read_to_string(path)
            .map_err(|error| Usage::new(format!("the file .tags cannot be read: {error}"))),
        _ => Ok(String::new()),
    }
}

/// A version: its numbers as written, and what makes it a pre-release or a certain build.
struct Version<'a> {
    numbers: Vec<&'a str>,
    rest: &'a str,
}

impl Version<'_> {
    fn parse(text: &str) -> Option<Version<'_>> {
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let numbers: Vec<&str> = numbers.split('.').collect();
        let plain = |number: &&str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let valid = (1..=3).contains(&numbers.len()) && numbers.iter().all(plain) && rest.len() != 1;
        valid.then_some(Version { numbers, rest })
    }
}

/// `1`, `1.2` and `1.2.3` of the Git tag `v1.2.3`; `0.2` and `0.2.3` of one that starts with 0, because any of
/// its minor versions may break; a pre-release as it is; `latest` of the main branch.
fn automatic(reference: &str, main: &str, suffix: &str) -> Result<Vec<String>, Usage> {
    let tags = match reference.strip_prefix("refs/tags/") {
        Some(tag) => {
            let version = tag.strip_prefix('v').unwrap_or(tag);
            let Some(parsed) = Version::parse(version).filter(|version| version.numbers.len() == 3) else {
                return Err(Usage::new(format!("auto_tag: the Git tag {tag} is no semantic version"))
                    .help("name the tags: tags"));
            };
            let numbers = &parsed.numbers;
            let least = if numbers[0].parse() == Ok(0) { 2 } else { 1 };
            match parsed.rest.is_empty() {
                true => (least..=3).map(|count| numbers[..count].join(".")).collect(),
                false => vec![version.to_owned()],
            }
        }
        None if !main.is_empty() && reference.strip_prefix("refs/heads/") == Some(main) => {
            vec!["latest".to_owned()]
        }
        None => {
            return Err(Usage::new(format!(
                "auto_tag: {reference:?} is neither a Git tag nor the main branch"
            ))
            .help("run the step for those only, or name the tags: tags"));
        }
    };
    Ok(tags
        .into_iter()
        .map(|tag| match (suffix, tag.as_str()) {
            ("", _) => tag,
            (suffix, "latest") => suffix.to_owned(),
            (suffix, _) => format!("{tag}-{suffix}"),
        })
        .collect())
}

/// `1`, `1.2` and `1.2.3` of a tag that is a semantic version; a pre-release without the `v`; others as they are.
fn expanded(tag: &str) -> Vec<String> {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let dashed = version.replace('_', "-");
    match Version::parse(&dashed) {
        Some(parsed) if parsed.rest.is_empty() => {
            let numbers: Vec<&str> = parsed.numbers.iter().copied().chain(["0", "0"]).take(3).collect();
            (1..=3).map(|count| numbers[..count].join(".")).collect()
        }
        Some(parsed) if parsed.rest.starts_with('-') && parsed.numbers.len() == 3 => vec![dashed.clone()],
        _ => vec![tag.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_commit() {
        let made = |reference| automatic(reference, "main", "").ok();
        let some = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(made("refs/tags/v1.2.3"), some(&["1", "1.2", "1.2.3"]));
        assert_eq!(made("refs/tags/0.9.1"), some(&["0.9", "0.9.1"]));
        assert_eq!(made("refs/tags/v2.0.0-rc.1"), some(&["2.0.0-rc.1"]));
        assert_eq!(made("refs/heads/main"), some(&["latest"]));
        for reference in ["refs/tags/nightly", "refs/tags/v1.2", "refs/heads/other", ""] {
            assert_eq!(made(reference), None, "{reference}");
        }
        assert_eq!(automatic("refs/heads/main", "main", "arm").ok(), some(&["arm"]));
        assert_eq!(
            automatic("refs/tags/1.0.0", "main", "arm").ok(),
            some(&["1-arm", "1.0-arm", "1.0.0-arm"])
        );
    }

    #[test]
    fn tags_of_a_tag() {
        assert_eq!(expanded("v1.2.3"), ["1", "1.2", "1.2.3"]);
        assert_eq!(expanded("2"), ["2", "2.0", "2.0.0"]);
        assert_eq!(expanded("v1.2.3-rc.1"), ["1.2.3-rc.1"]);
        assert_eq!(expanded("nightly"), ["nightly"]);
    }
}
