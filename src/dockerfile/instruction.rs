//! The 18 instructions as values. Texts are as written, unexpanded, with their place.

use super::{Source, Span};

/// A word as written: quotes, escapes and variables still in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A parsed Dockerfile.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The text it was parsed from.
    pub source: Source,
    /// The escape character: a backslash or a backtick.
    pub escape: char,
    /// The `# syntax=` directive.
    pub syntax: Option<Word>,
    /// The `# check=` directive.
    pub check: Option<Word>,
    /// `ARG`s before the first `FROM`.
    pub global_args: Vec<Instruction>,
    /// The stages, in order. Never empty.
    pub stages: Vec<Stage>,
    /// What is questionable but no error.
    pub warnings: Vec<super::checks::Finding>,
    /// Where BuildKit would have stopped reading; none if nothing is wrong.
    pub stop: Option<Stop>,
}

/// Where BuildKit stops reading a Dockerfile that is wrong: its checks see nothing after it.
#[derive(Debug, Clone)]
pub enum Stop {
    /// The parser did not get through: nothing is checked.
    Syntax,
    /// An instruction is wrong.
    Instruction {
        /// Its first byte.
        at: usize,
        /// What checks find in it before it is read.
        findings: Vec<super::checks::Finding>,
        /// The comment lines above it, `#` left out.
        comments: Vec<Word>,
    },
}

/// A `FROM` and the instructions up to the next.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The image or stage named after `FROM`, unexpanded.
    pub base: Word,
    /// `AS name`, lower case.
    pub name: Option<Word>,
    /// `--platform=`, unexpanded.
    pub platform: Option<Word>,
    /// The whole `FROM` line.
    pub span: Span,
    /// `FROM` as written.
    pub keyword: String,
    /// `AS` as written.
    pub as_keyword: Option<String>,
    /// The physical lines it was read from, whole.
    pub lines: Span,
    /// The comment lines above it, `#` left out, back to the last instruction or empty comment.
    pub comments: Vec<Word>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// What it is.
    pub kind: InstructionKind,
    /// The text `kind`'s spans point into: the Dockerfile, or an `ONBUILD` trigger.
    pub source: Source,
    /// From its keyword to its end, heredocs included.
    pub span: Span,
    /// The keyword as written.
    pub keyword: String,
    /// The physical lines it was read from, whole: also a continuation with nothing in it.
    pub lines: Span,
    /// The instruction as one line, continuations joined and comments removed; for `ONBUILD`
    /// what is stored in a config, heredoc bodies included.
    pub original: String,
    /// The comment lines above it, `#` left out, back to the last instruction or empty comment.
    pub comments: Vec<Word>,
}

/// What an instruction is.
#[derive(Debug, Clone)]
pub enum InstructionKind {
    /// `ADD`
    Add(AddInstruction),
    /// `ARG a b=c`
    Arg(Vec<ArgDeclaration>),
    /// `CMD`
    Cmd(Command),
    /// `COPY`
    Copy(CopyInstruction),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV`
    Env(Vec<KeyValue>),
    /// `EXPOSE`; unexpanded words, sorted as texts as BuildKit does.
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(HealthcheckInstruction),
    /// `LABEL`
    Label(Vec<KeyValue>),
    /// `MAINTAINER`
    Maintainer(Word),
    /// `ONBUILD`; none if the trigger is wrong: that fails only where it runs, and is a warning here.
    Onbuild(Option<Box<Instruction>>),
    /// `RUN`
    Run(RunInstruction),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    Stopsignal(Word),
    /// `USER`; the rest of the line.
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`; the rest of the line.
    Workdir(Word),
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name.
    pub name: Word,
    /// The default, unexpanded.
    pub default: Option<Word>,
}

/// One pair of `ENV` or `LABEL`, unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// Left of the `=`.
    pub key: Word,
    /// Right of it. In the legacy form `ENV k v` the rest of the line.
    pub value: Word,
    /// Whether it is the legacy form.
    pub legacy: bool,
}

/// Shell form or exec form, of `RUN`, `CMD`, `ENTRYPOINT`, `HEALTHCHECK CMD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Text for the shell.
    Shell(Word),
    /// A JSON array.
    Exec(Vec<String>),
}

/// A heredoc of `RUN`, `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; for `COPY` the file's name.
    pub name: String,
    /// The body, leading tabs removed for `<<-`.
    pub content: String,
    /// Whether variables in the body are expanded: no part of the delimiter was quoted.
    pub expand: bool,
    /// Whether it was `<<-`.
    pub strip_tabs: bool,
    /// Number before `<<`, normally absent.
    pub file_descriptor: Option<u64>,
    /// The `<<NAME` word.
    pub span: Span,
    /// The body's lines, delimiter left out. The source has them as written, tabs included.
    pub body_span: Span,
}

/// `RUN`
#[derive(Debug, Clone)]
pub struct RunInstruction {
    /// The command; for a heredoc the line with the `<<` words in it.
    pub command: Command,
    /// The heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount=` values as written.
    pub mounts: Vec<Word>,
    /// `--network=` value.
    pub network: Option<Word>,
    /// `--security=` value.
    pub security: Option<Word>,
    /// `--device=` values.
    pub devices: Vec<Word>,
}

/// A source of `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path, pattern or URL, unexpanded.
    Path(Word),
    /// A heredoc: a file of this name and content.
    Heredoc(Heredoc),
}

/// What `COPY` and `ADD` share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyArguments {
    /// In order.
    pub sources: Vec<CopySource>,
    /// The destination, unexpanded.
    pub destination: Word,
    /// `--chown=`, unexpanded.
    pub chown: Option<Word>,
    /// `--chmod=`, unexpanded.
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--exclude=`, not expanded by the language.
    pub excludes: Vec<Word>,
}

/// `COPY`
#[derive(Debug, Clone)]
pub struct CopyInstruction {
    /// What is copied where.
    pub arguments: CopyArguments,
    /// `--from=`: a stage's name or number, a named context, or an image.
    pub from: Option<Word>,
    /// `--parents`
    pub parents: bool,
}

/// `ADD`
#[derive(Debug, Clone)]
pub struct AddInstruction {
    /// What is added where.
    pub arguments: CopyArguments,
    /// `--checksum=`, unexpanded.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`, if written.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, if written.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`; durations in nanoseconds, 0 is inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthcheckInstruction {
    /// `HEALTHCHECK NONE`
    None,
    /// `HEALTHCHECK [flags] CMD …`
    Cmd {
        /// The check.
        command: Command,
        /// `--interval`
        interval: i64,
        /// `--timeout`
        timeout: i64,
        /// `--start-period`
        start_period: i64,
        /// `--start-interval`
        start_interval: i64,
        /// `--retries`
        retries: i64,
    },
}
