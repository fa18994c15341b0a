//! What a RUN changed is in its layer, and nothing else; in every place.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Kind, Place, everywhere};

everywhere!(
    changes_are_in_the_layer,
    deletions_are_whiteouts,
    a_directory_made_anew_hides_what_was_in_it,
    a_directory_becomes_a_file_and_a_file_a_directory,
    a_renamed_directory_moves_with_what_is_in_it,
    what_was_touched_but_not_changed_stays_out,
    a_rewrite_that_keeps_size_and_time_is_seen,
    a_run_that_changes_nothing_gives_the_empty_layer,
    hard_links_stay_links,
    one_of_two_hard_links_changes,
    owners_and_special_bits,
    symbolic_links_have_owners,
    pipes_are_kept_and_sockets_are_not,
    capabilities_of_files,
    times_of_files_and_directories,
    odd_names,
    a_sparse_and_a_large_file,
    what_the_builder_needs_is_not_in_the_image,
    ignored_paths_are_in_no_layer,
    one_snapshot_a_stage,
    changes_below_a_volume_are_kept,
);

/// Listing of the layer that the last RUN of a stage on the small base made.
fn layer_of(place: Place, setup: &str, script: &str) -> String {
    let setup = if setup.is_empty() { String::new() } else { format!("RUN {setup}\n") };
    let build = Build::new(&format!("FROM busybox\n{setup}RUN {script}\n"));
    build.run(place).image().layer(-1).listing()
}

fn changes_are_in_the_layer(place: Place) {
    let listing = layer_of(
        place,
        "mkdir -p /a/b/c && echo old > /a/b/c/file && echo same > /a/b/same",
        "echo new > /a/b/c/file && echo more > /a/more && chmod 0750 /a/b",
    );
    assert_eq!(
        listing,
        "d 0755 0:0 a\n\
         d 0750 0:0 a/b\n\
         d 0755 0:0 a/b/c\n\
         f 0644 0:0 a/b/c/file \"new\\n\"\n\
         f 0644 0:0 a/more \"more\\n\"\n"
    );
}

fn deletions_are_whiteouts(place: Place) {
    let listing = layer_of(
        place,
        "mkdir -p /a/b && touch /a/one /a/two /a/b/three /four && ln -s one /a/link",
        "rm -r /a/one /a/b /a/link /four /etc/group",
    );
    assert_eq!(
        listing,
        "d 0755 0:0 a\n\
         f 0000 0:0 a/.wh.b \"\"\n\
         f 0000 0:0 a/.wh.link \"\"\n\
         f 0000 0:0 a/.wh.one \"\"\n\
         d 0755 0:0 etc\n\
         f 0000 0:0 etc/.wh.group \"\"\n\
         f 0000 0:0 .wh.four \"\"\n"
    );
}

fn a_directory_made_anew_hides_what_was_in_it(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /d/sub && touch /d/old /d/sub/old /d/kept\n\
         RUN rm -r /d && mkdir /d && touch /d/new /d/kept\n",
    );
    let image = build.run(place).image();
    let tree = image.tree();
    let below: Vec<_> = tree.nodes.keys().filter(|path| path.starts_with("d/")).collect();
    assert_eq!(below, ["d/kept", "d/new"]);
    assert_eq!(
        image.layer(-1).listing(),
        "d 0755 0:0 d\n\
         f 0644 0:0 d/kept \"\"\n\
         f 0644 0:0 d/new \"\"\n\
         f 0000 0:0 d/.wh.old \"\"\n\
         f 0000 0:0 d/.wh.sub \"\"\n"
    );
}

fn a_directory_becomes_a_file_and_a_file_a_directory(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /dir/sub && touch /dir/sub/x /file && ln -s /dir /link\n\
         RUN rm -r /dir && echo f > /dir && rm /file && mkdir /file && touch /file/in && \
             rm /link && mkdir /link\n",
    );
    let image = build.run(place).image();
    let tree = image.tree();
    assert!(tree.node("dir").what.starts_with("f "));
    assert_eq!(tree.node("file").what, "d");
    assert_eq!(tree.node("link").what, "d");
    assert!(tree.nodes.contains_key("file/in"));
    assert!(!tree.nodes.contains_key("dir/sub"));
}

fn a_renamed_directory_moves_with_what_is_in_it(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /from/sub && echo x > /from/sub/x && echo y > /from/y\n\
         RUN mv /from /to\n",
    );
    let image = build.run(place).image();
    assert_eq!(
        image.layer(-1).listing(),
        "f 0000 0:0 .wh.from \"\"\n\
         d 0755 0:0 to\n\
         d 0755 0:0 to/sub\n\
         f 0644 0:0 to/sub/x \"x\\n\"\n\
         f 0644 0:0 to/y \"y\\n\"\n"
    );
}

fn what_was_touched_but_not_changed_stays_out(place: Place) {
    let listing = layer_of(
        place,
        "echo content > /file && touch -t 200001010000 /file && mkdir /dir && touch /dir/x",
        // A lock opened for writing, a mode set to what it is, a file made and removed, and a
        // copy that lands with the same content, mode and time.
        "exec 3<>/file; chmod 0644 /file; chown 0:0 /dir; touch /dir/y; rm /dir/y; \
         cp -p /file /copy; mv /copy /file; echo done > /done",
    );
    assert_eq!(listing, "f 0644 0:0 done \"done\\n\"\n");
}

fn a_rewrite_that_keeps_size_and_time_is_seen(place: Place) {
    let listing = layer_of(
        place,
        "echo aaaa > /file && touch -t 200001010000 /file",
        "echo bbbb > /file && touch -t 200001010000 /file",
    );
    assert_eq!(listing, "f 0644 0:0 file \"bbbb\\n\"\n");
}

fn a_run_that_changes_nothing_gives_the_empty_layer(place: Place) {
    let build = Build::new("FROM busybox\nRUN true\nRUN cat /etc/passwd > /dev/null\n");
    let image = build.run(place).image();
    assert_eq!(image.layer_count(), 3);
    for number in [1, 2] {
        let tar = image.layer(number).tar;
        assert!(tar == vec![0; 1024], "layer {number} is not the empty archive: {} bytes", tar.len());
    }
}

fn hard_links_stay_links(place: Place) {
    let listing = layer_of(
        place,
        "",
        "mkdir /d && echo x > /d/one && ln /d/one /d/two && ln /d/one /alias && \
         ln -s one /d/soft && ln /d/soft /d/soft2",
    );
    assert_eq!(
        listing,
        "f 0644 0:0 alias \"x\\n\"\n\
         d 0755 0:0 d\n\
         h 0644 0:0 d/one -> alias\n\
         l 0777 0:0 d/soft -> one\n\
         h 0777 0:0 d/soft2 -> d/soft\n\
         h 0644 0:0 d/two -> alias\n"
    );
}

/// Both names still show the same file after both layers are applied.
fn one_of_two_hard_links_changes(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN echo one > /a && ln /a /b\n\
         RUN echo two >> /a\n",
    );
    let image = build.run(place).image();
    let tree = image.tree();
    assert_eq!(tree.node("a"), tree.node("b"));
    assert_eq!(tree.node("a").linked.as_deref(), Some("a"));
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 a \"one\\ntwo\\n\"\nh 0644 0:0 b -> a\n");
}

fn owners_and_special_bits(place: Place) {
    let listing = layer_of(
        place,
        "",
        "mkdir /d && touch /d/su /d/sg /d/user && chmod 4755 /d/su && chmod 2755 /d/sg && \
         chmod 0604 /d/user && chown 1000:29 /d/user && chmod 1777 /d && chown 65534:65534 /d",
    );
    assert_eq!(
        listing,
        "d 1777 65534:65534 d\n\
         f 2755 0:0 d/sg \"\"\n\
         f 4755 0:0 d/su \"\"\n\
         f 0604 1000:29 d/user \"\"\n"
    );
}

fn symbolic_links_have_owners(place: Place) {
    let listing = layer_of(place, "ln -s a /old", "ln -s /no/where /l && chown -h 1000:1000 /l /old");
    assert_eq!(listing, "l 0777 1000:1000 l -> /no/where\nl 0777 1000:1000 old -> a\n");
}

fn pipes_are_kept_and_sockets_are_not(place: Place) {
    let build = Build::new(
        "FROM debian\n\
         RUN perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"/sock\", Listen => 1) or die' && \
             test -S /sock && mkfifo -m 0640 /pipe\n",
    );
    assert_eq!(build.run(place).image().layer(-1).listing(), "p 0640 0:0 pipe\n");
}

fn capabilities_of_files(place: Place) {
    let build = Build::new(
        "FROM debian\n\
         COPY tool /usr/local/bin/tool\n\
         RUN cp -a /usr/local/bin/tool /usr/local/bin/copy\n\
         RUN touch /usr/local/bin/tool\n",
    )
    .prepare("echo tool > tool; chmod 0755 tool; setcap cap_net_bind_service=ep tool");
    let image = build.run(place).image();
    let name = "security.capability";
    for (layer, path) in [(1, "tool"), (2, "copy"), (3, "tool")] {
        let layer = image.layer(layer);
        let entry = layer.entry(&format!("usr/local/bin/{path}"));
        let value = entry.xattrs.get(name).unwrap_or_else(|| panic!("{path} lost it: {entry}"));
        // Revision 2, effective: root of a user namespace writes revision 3, bound to it.
        assert_eq!(value[..8], [1, 0, 0, 2, 0, 4, 0, 0], "{path}");
        assert_eq!(value.len(), 20, "{path}");
    }
}

fn times_of_files_and_directories(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir /d && touch -d '2001-02-03 04:05:06' /d/f && touch -d '1999-09-09 09:09:09' /d\n",
    );
    let layer = build.run(place).image().layer(-1);
    assert_eq!(layer.entry("d/f").mtime, 981_173_106);
    assert_eq!(layer.entry("d").mtime, 936_868_149);
}

fn odd_names(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir '/a b' && touch '/a b/ü' \"/a b/$(printf 'new\\nline')\" '/a b/-x' '/a b/*' '/a b/\\\\' && \
             mkdir -p \"/$(printf 'x%.0s' $(seq 200))/$(printf 'y%.0s' $(seq 200))\"\n",
    );
    let layer = build.run(place).image().layer(-1);
    let paths = layer.paths();
    for name in ["a b", "a b/ü", "a b/new\nline", "a b/-x", "a b/*", "a b/\\\\"] {
        assert!(paths.contains(&name), "{name} is missing: {paths:?}");
    }
    let long = format!("{}/{}", "x".repeat(200), "y".repeat(200));
    assert_eq!(layer.entry(&long).kind, Kind::Directory);
}

fn a_sparse_and_a_large_file(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN dd if=/dev/zero of=/sparse bs=1M seek=20 count=0 2>/dev/null && echo end >> /sparse && \
             dd if=/dev/urandom of=/large bs=1M count=9 2>/dev/null && sha256sum /large > /sum\n",
    );
    let image = build.run(place).image();
    let layer = image.layer(-1);
    let Kind::File(sparse) = &layer.entry("sparse").kind else { panic!("a file") };
    assert_eq!(sparse.len(), 20 * 1024 * 1024 + 4);
    assert!(sparse.ends_with(b"end\n"));
    let Kind::File(sum) = &layer.entry("sum").kind else { panic!("a file") };
    let tree = image.tree();
    let expected = format!("f sha256:{}", &String::from_utf8_lossy(sum)[..64]);
    assert_eq!(tree.node("large").what, expected);
}

fn what_the_builder_needs_is_not_in_the_image(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN test -e /proc/self/status && test -c /dev/null && echo x > /dev/null && \
             test -e /etc/resolv.conf && test -e /etc/hosts && ls /sys > /dev/null && \
             echo y > /tmp/y && rm /tmp/y && touch /x\n",
    );
    assert_eq!(build.run(place).image().layer(-1).listing(), "f 0644 0:0 x \"\"\n");
}

fn ignored_paths_are_in_no_layer(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN mkdir -p /cache/deep /keep && touch /cache/deep/a /cache/b /keep/c\n",
    )
    .flag("--ignore-path=/cache");
    let layer = build.run(place).image().layer(-1);
    assert_eq!(layer.listing(), "d 0755 0:0 keep\nf 0644 0:0 keep/c \"\"\n");
}

fn one_snapshot_a_stage(place: Place) {
    let build = Build::new(
        "FROM busybox\n\
         RUN echo one > /one && echo gone > /gone\n\
         COPY two /two\n\
         RUN rm /gone && echo three > /three\n",
    )
    .file("two", "two\n")
    .flag("--single-snapshot");
    let image = build.run(place).image();
    assert_eq!(image.layer_count(), 2);
    assert_eq!(
        image.layer(-1).listing(),
        "f 0644 0:0 one \"one\\n\"\nf 0644 0:0 three \"three\\n\"\nf 0644 0:0 two \"two\\n\"\n"
    );
}

fn changes_below_a_volume_are_kept(place: Place) {
    let build = Build::new("FROM busybox\nVOLUME /data\nRUN mkdir -p /data && echo x > /data/x\n");
    let layer = build.run(place).image().layer(-1);
    assert_eq!(layer.listing(), "d 0755 0:0 data\nf 0644 0:0 data/x \"x\\n\"\n");
}
