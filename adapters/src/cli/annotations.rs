//! Annotations as docker buildx has them: `KEY=VALUE`, `LEVEL[PLATFORM],LEVEL:KEY=VALUE`.

use std::collections::BTreeMap;

use yadokari::config::{Annotation, AnnotationLevel};
use yadokari::image::Platform;

use crate::usage::Usage;
use crate::vocabulary::key_value;

/// What was typed as `--annotation`; an empty one is what a shell makes of an unset variable.
///
/// # Errors
/// No `KEY=VALUE`, or levels that are none.
pub(crate) fn parse(items: &[String]) -> Result<Vec<Annotation>, Usage> {
    let mut all = Vec::new();
    for item in items.iter().filter(|item| !item.is_empty()) {
        let (name, value) = key_value("--annotation", item)?;
        let Some((levels, key)) = name.split_once(':') else {
            all.push(Annotation { level: None, platform: None, key: name, value });
            continue;
        };
        if key.is_empty() {
            return Err(Usage::new(format!("--annotation '{item}' has no name"))
                .help(format!("write --annotation {levels}:key=value")));
        }
        for word in levels.split(',') {
            let (level, platform) = level(word.trim(), item)?;
            let (key, value) = (key.to_owned(), value.clone());
            all.push(Annotation { level: Some(level), platform, key, value });
        }
    }
    Ok(all)
}

/// `LEVEL` or `LEVEL[PLATFORM]`.
fn level(word: &str, item: &str) -> Result<(AnnotationLevel, Option<Platform>), Usage> {
    let (name, platform) = match word.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']')),
        None => (word, Some("")),
    };
    let known = AnnotationLevel::ALL.into_iter().find(|level| level.name() == name);
    let (Some(level), Some(platform)) = (known, platform) else {
        return Err(Usage::new(format!("--annotation '{item}': there is no level '{word}'")).help(
            "write KEY=VALUE, or before it manifest:, manifest-descriptor:, index: or index-descriptor:, \
             the first two also with a platform, as manifest[linux/amd64]:KEY=VALUE; \
             a name with a colon needs a level before it",
        ));
    };
    if !word.contains('[') {
        return Ok((level, None));
    }
    if level.of_index() {
        return Err(Usage::new(format!("--annotation '{item}': an index is for no platform"))
            .help(format!("write {name}:KEY=VALUE, or manifest-descriptor[{platform}]:KEY=VALUE")));
    }
    let platform = platform.parse().map_err(|e| Usage::new(format!("--annotation '{item}': {e}")))?;
    Ok((level, Some(platform)))
}

/// What an index of images that are there already gets of them.
pub(crate) fn of_index(all: &[Annotation]) -> BTreeMap<String, String> {
    let wanted = all.iter().filter(|a| a.level.unwrap_or(AnnotationLevel::Index) == AnnotationLevel::Index);
    wanted.map(|a| (a.key.clone(), a.value.clone())).collect()
}

/// What the entries of such an index get.
pub(crate) fn of_entries(all: &[Annotation]) -> Vec<Annotation> {
    all.iter().filter(|a| a.level == Some(AnnotationLevel::ManifestDescriptor)).cloned().collect()
}

/// What to say of those that a build for these platforms, with an OCI layout or without, has no place for.
pub(crate) fn without_place(all: &[Annotation], platforms: &[Platform], layout: bool) -> Vec<String> {
    let host = [Platform::host()];
    let platforms = if platforms.is_empty() { &host } else { platforms };
    let several = platforms.len() > 1;
    let why = |a: &Annotation| match (a.level(), &a.platform) {
        (_, Some(platform)) if !platforms.contains(platform) => {
            Some(format!("no image for {platform} is built"))
        }
        (AnnotationLevel::ManifestDescriptor, _) if !several && !layout => {
            Some("only an index and an OCI layout have descriptors of manifests".to_owned())
        }
        (AnnotationLevel::IndexDescriptor, _) if several && !layout => {
            Some("only an OCI layout has a descriptor of the index".to_owned())
        }
        _ => None,
    };
    let said = |a: &Annotation| Some(format!("--annotation {} has no effect: {}", a.full_key(), why(a)?));
    all.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(item: &str) -> Result<Vec<String>, Usage> {
        let all = parse(&[item.to_owned()])?;
        let shown = |a: &Annotation| match a.level {
            Some(_) => format!("{}={}", a.full_key(), a.value),
            None => format!("{}={}", a.key, a.value),
        };
        Ok(all.iter().map(shown).collect())
    }

    #[test]
    fn levels_are_buildxs() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a=b=c", &["a=b=c"]),
            ("a=b:c", &["a=b:c"]),
            ("a=", &["a="]),
            ("manifest:a=b", &["manifest:a=b"]),
            ("manifest:a:b=c", &["manifest:a:b=c"]),
            ("manifest[linux/aarch64]:a=b", &["manifest[linux/arm64]:a=b"]),
            ("manifest-descriptor[linux/arm/v7]:a=b", &["manifest-descriptor[linux/arm/v7]:a=b"]),
            ("index,manifest:a=b", &["index:a=b", "manifest:a=b"]),
            (
                "index-descriptor,manifest[linux/amd64],manifest[linux/arm64]:a=b",
                &["index-descriptor:a=b", "manifest[linux/amd64]:a=b", "manifest[linux/arm64]:a=b"],
            ),
        ];
        for (item, expected) in table {
            assert_eq!(parsed(item).unwrap(), *expected, "{item}");
        }
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for (item, said) in [
            ("a", "key=value"),
            ("=b", "key=value"),
            ("index:=b", "no name"),
            ("org.example:a=b", "no level 'org.example'"),
            ("manifest,:a=b", "no level ''"),
            ("manifest[linux/amd64:a=b", "no level 'manifest[linux/amd64'"),
            ("manifest[]:a=b", "is not a platform"),
            ("manifest[nothing]:a=b", "is not a platform"),
            ("index[linux/amd64]:a=b", "for no platform"),
        ] {
            let error = parsed(item).unwrap_err();
            assert!(error.message.contains(said), "{item}: {}", error.message);
        }
    }

    #[test]
    fn joined_images_get_none_of_their_own() {
        let all = ["a=1", "index:b=2", "manifest:c=3", "index-descriptor,manifest-descriptor:d=4"];
        let all = parse(&all.map(str::to_owned)).unwrap();
        let expected = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(of_index(&all), BTreeMap::from(expected));
        let entries: Vec<String> = of_entries(&all).iter().map(Annotation::full_key).collect();
        assert_eq!(entries, ["manifest-descriptor:d"]);
    }

    #[test]
    fn what_has_no_place_is_said() {
        let platforms = ["linux/amd64", "linux/arm64"].map(|p| p.parse().unwrap());
        let table = [
            ("manifest[linux/s390x]:a=b", 2, true, "no image for linux/s390x"),
            ("manifest[linux/arm64]:a=b", 1, true, "no image for linux/arm64"),
            ("manifest[linux/arm64]:a=b", 2, false, ""),
            ("manifest-descriptor:a=b", 1, false, "only an index"),
            ("manifest-descriptor:a=b", 1, true, ""),
            ("manifest-descriptor:a=b", 2, false, ""),
            ("index-descriptor:a=b", 2, false, "only an OCI layout"),
            ("index-descriptor:a=b", 2, true, ""),
            ("index:a=b", 2, false, ""),
            ("a=b", 1, false, ""),
        ];
        for (item, count, layout, said) in table {
            let all = parse(&[item.to_owned()]).unwrap();
            let found = without_place(&all, &platforms[..count], layout).join("\n");
            assert_eq!(found.is_empty(), said.is_empty(), "{item}: {found}");
            assert!(found.contains(said), "{item}: {found}");
        }
    }
}
