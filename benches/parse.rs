//! How long it takes to parse a Dockerfile of 1,000 lines.
//!
//! ```text
//! cargo bench --profile fast --bench parse
//! ```
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use yadokari::dockerfile::{Expander, Source, parse};

/// Parsing 1,000 lines takes at most this long.
const BAR: Duration = Duration::from_millis(2);
const RUNS: usize = 400;

fn main() {
    let text = dockerfile();
    let source = Source::new("Dockerfile", text.as_str());
    let lines = text.lines().count();
    assert!(lines >= 1000);
    let parsed = parse(&source).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let instructions: usize = parsed.stages.iter().map(|stage| stage.instructions.len()).sum();
    let [median, worst] = measure(|| drop(black_box(parse(black_box(&source)))));
    println!("{lines} lines, {} bytes, {instructions} instructions", text.len());
    println!("parse   median {median:?}, slowest of {RUNS} {worst:?} (median at most {BAR:?})");
    let expander = Expander { escape: '\\' };
    let [median_word, _] = measure(|| {
        let value = |name: &str| (name != "NONE").then(|| "value/of/it".to_owned());
        let _ = black_box(expander.word(black_box("$A/${B:-${C#*/}}\"${NONE:-x y}\"${A//o/0}"), &value));
    });
    println!("expand  median {median_word:?} for one word");
    assert!(median <= BAR, "too slow");
}

/// The median and the slowest of many runs.
fn measure(mut work: impl FnMut()) -> [Duration; 2] {
    let mut times: Vec<Duration> = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        work();
        times.push(start.elapsed());
    }
    times.sort();
    [times[RUNS / 2], times[RUNS - 1]]
}

/// Stages as people write them, until there are a thousand lines.
fn dockerfile() -> String {
    let mut text =
        String::from("# syntax=docker/dockerfile:1\nARG VERSION=3.22 MIRROR=https://example.com\n");
    let mut number = 0;
    while text.lines().count() < 1000 {
        number += 1;
        text.push_str(&stage(number));
    }
    text
}

fn stage(number: usize) -> String {
    format!(
        "FROM --platform=$BUILDPLATFORM alpine:${{VERSION}} AS stage{number}\n\
         ARG TARGETARCH USER_ID=1000 \\\n    GROUP_ID=${{USER_ID}}\n\
         ENV PATH=/app/bin:$PATH \\\n    APP_HOME=\"/app of stage {number}\" \\\n    EMPTY=''\n\
         LABEL org.opencontainers.image.title=\"stage {number}\" maintainer='me'\n\
         # packages\n\
         RUN --mount=type=cache,target=/var/cache/apk,sharing=locked \\\n    \
             --mount=type=secret,id=token,required \\\n    \
             set -eux; \\\n    # a comment\n    apk add --no-cache ca-certificates curl git \\\n    \
             && curl -fsSL \"$MIRROR/${{TARGETARCH}}/tool.tar.gz\" | tar xz -C /usr/local \\\n    \
             && rm -rf /tmp/*\n\
         WORKDIR ${{APP_HOME:-/app}}/src\n\
         COPY --link --chown=${{USER_ID}}:${{GROUP_ID}} --exclude=**/*.md package.json lock.json ./\n\
         COPY [\"a file\", \"/another place/\"]\n\
         COPY <<-\"EOF\" /etc/app.conf\n\tname = stage\n\tport = 8080\n\tEOF\n\
         RUN <<EOF\n#!/bin/sh\nset -e\nmake -j$(nproc) all\nEOF\n\
         EXPOSE 8080/tcp 9000-9010/udp\n\
         VOLUME /data\n\
         HEALTHCHECK --interval=30s --timeout=3s CMD curl -f http://localhost:8080/ || exit 1\n\
         USER $USER_ID:$GROUP_ID\n\
         ENTRYPOINT [\"/app/bin/run\", \"--config\", \"/etc/app.conf\"]\n\
         CMD serve --verbose\n\n"
    )
}
