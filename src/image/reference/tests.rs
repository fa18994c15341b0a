use super::*;

fn parsed(text: &str) -> (String, String, Option<String>, Option<String>) {
    let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    let again: Reference = reference.whole().parse().unwrap_or_else(|e| panic!("{reference}: {e}"));
    assert_eq!(again, reference, "{text}");
    let owned = |part: Option<&str>| part.map(str::to_owned);
    let (tag, digest) = (owned(reference.tag()), owned(reference.digest()));
    (reference.registry().to_owned(), reference.repository().to_owned(), tag, digest)
}

#[test]
fn names_and_tags() {
    let cases = [
        ("busybox", "docker.io", "library/busybox", "latest"),
        ("busybox:1.36", "docker.io", "library/busybox", "1.36"),
        ("opensuse/leap:15.3", "docker.io", "opensuse/leap", "15.3"),
        ("docker.io/busybox", "docker.io", "library/busybox", "latest"),
        ("docker.io/library/busybox", "docker.io", "library/busybox", "latest"),
        ("docker.io/a/b", "docker.io", "a/b", "latest"),
        ("index.docker.io/busybox", "docker.io", "library/busybox", "latest"),
        ("index.docker.io/a/b:t", "docker.io", "a/b", "t"),
        // Without a slash there is no host.
        ("localhost", "docker.io", "library/localhost", "latest"),
        ("localhost:5000", "docker.io", "library/localhost", "5000"),
        ("test.com:tag", "docker.io", "library/test.com", "tag"),
        ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080"),
        ("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080"),
        ("localhost/x", "localhost", "x", "latest"),
        ("localhost:5000/x/y:1", "localhost:5000", "x/y", "1"),
        ("test:5000/repo", "test:5000", "repo", "latest"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", "latest"),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b"),
        ("[fd00::12]/a", "[fd00::12]", "a", "latest"),
        ("test.com/repo:tag", "test.com", "repo", "tag"),
        ("Test.COM/repo", "Test.COM", "repo", "latest"),
        ("MYHOST:80/repo", "MYHOST:80", "repo", "latest"),
        ("MYHOST/a/repo:t", "MYHOST", "a/repo", "t"),
        ("Acme/app", "Acme", "app", "latest"),
        ("sub-dom1.foo.com/bar/baz/quux:a-long_tag.2", "sub-dom1.foo.com", "bar/baz/quux", "a-long_tag.2"),
        (
            "b.gcr.io/test.example.com/my-app:test.example.com",
            "b.gcr.io",
            "test.example.com/my-app",
            "test.example.com",
        ),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com"),
        ("r.io/a.b/c_d/e__f/g-h/i--j/k---l:_T", "r.io", "a.b/c_d/e__f/g-h/i--j/k---l", "_T"),
        ("lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase"),
    ];
    for (text, registry, repository, tag) in cases {
        let expected = (registry.to_owned(), repository.to_owned(), Some(tag.to_owned()), None);
        assert_eq!(parsed(text), expected, "{text}");
        let whole: Reference = text.parse().expect("parsed above");
        assert_eq!(whole.to_string(), format!("{registry}/{repository}:{tag}"));
    }
}

#[test]
fn digests() {
    for (algorithm, length) in DIGESTS {
        let digest = format!("{algorithm}:{}", "0a".repeat(length / 2));
        let by_digest = parsed(&format!("test:5000/repo@{digest}"));
        assert_eq!(by_digest, ("test:5000".to_owned(), "repo".to_owned(), None, Some(digest.clone())));
        let both = parsed(&format!("repo:t@{digest}"));
        let expected =
            ("docker.io".to_owned(), "library/repo".to_owned(), Some("t".to_owned()), Some(digest));
        assert_eq!(both, expected);
    }
    let tagged: Reference = "r.io/a:1".parse().expect("a reference");
    let digest = format!("sha256:{}", "f".repeat(64));
    let pinned = tagged.clone_with_digest(digest.clone());
    assert_eq!(pinned.whole(), format!("r.io/a@{digest}"));
}

#[test]
fn limits() {
    let tag = "t".repeat(TAG_LIMIT);
    assert!(format!("r.io/a:{tag}").parse::<Reference>().is_ok());
    assert_eq!(format!("r.io/a:{tag}t").parse::<Reference>(), Err(ParseReferenceError::Tag));
    let repository = "a".repeat(REPOSITORY_LIMIT);
    assert!(format!("r.io/{repository}").parse::<Reference>().is_ok());
    assert_eq!(format!("r.io/{repository}a").parse::<Reference>(), Err(ParseReferenceError::TooLong));
    // As Docker Hub knows it.
    assert_eq!(repository.parse::<Reference>(), Err(ParseReferenceError::TooLong));
}

#[test]
fn what_is_no_reference() {
    use ParseReferenceError::{Digest, Empty, Host, Id, Repository, Tag, UpperCase, Url};
    let (hex, upper_hex) = ("0a".repeat(32), "0A".repeat(32));
    let cases = [
        ("", Empty),
        (":justtag", Empty),
        ("r.io/", Empty),
        ("r.io/:tag", Empty),
        ("https://r.io/a", Url),
        ("http://r.io/a:1", Url),
        ("Uppercase:tag", UpperCase),
        ("acme/App", UpperCase),
        ("Acme/App", UpperCase),
        ("Acme/", Empty),
        ("A_b/c", Host),
        ("test:5000/Uppercase/lowercase:tag", UpperCase),
        ("/a", Repository),
        ("a//b", Repository),
        ("r.io/a/", Repository),
        ("aa/asdf$$^/aa", Repository),
        ("a b", Repository),
        ("a\n", Repository),
        ("ä", Repository),
        ("-a", Repository),
        ("a-", Repository),
        ("a..b", Repository),
        ("a___b", Repository),
        ("a._b", Repository),
        ("r.io/.a", Repository),
        ("r.io/a_", Repository),
        ("a_b.c:5000/x", Host),
        ("-a.io/x", Host),
        ("a..io/x", Host),
        (".io/x", Host),
        ("r.io:/x", Host),
        ("r.io:x/y", Host),
        ("r.io:+80/y", Host),
        ("r.io:65536/y", Host),
        ("r.io:1:2/y", Host),
        ("[::1/y", Host),
        ("[]:1/y", Host),
        ("[::1]x:1/y", Host),
        ("ä.io/y", Host),
        ("a:", Tag),
        ("a:.b", Tag),
        ("a:-b", Tag),
        ("a:b:c", Tag),
        ("a:b c", Tag),
        ("a:ä", Tag),
        ("a@", Digest),
        ("a@b", Digest),
        ("a@sha256:00", Digest),
        (&format!("a@sha1:{hex}"), Digest),
        (&format!("a@sha512:{hex}"), Digest),
        (&format!("a@sha256:{upper_hex}"), Digest),
        (&format!("a@sha256:{hex}@sha256:{hex}"), Digest),
        (&format!("@sha256:{hex}"), Empty),
        (&hex, Id),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Reference>(), Err(expected), "{text}");
    }
    // Beside a namespace it may well be a name.
    assert!(format!("a/{hex}").parse::<Reference>().is_ok());
}
