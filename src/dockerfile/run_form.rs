//! What a `RUN` executes, its heredocs put where they belong.

use super::heredoc::Opening;
use super::{Command, RunInstruction, Source};

/// What a `RUN` executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunForm<'r> {
    /// A program and its arguments.
    Exec(&'r [String]),
    /// Text for the shell.
    Shell(String),
    /// A heredoc that begins with `#!`: a read-only executable file at `/dev/pipes/<name>`, whose
    /// path is the text for the shell.
    Script {
        /// The heredoc's name.
        name: &'r str,
        /// The file's content.
        content: &'r str,
    },
}

impl RunInstruction {
    /// What to execute. `source` is the instruction's.
    ///
    /// A heredoc that is the whole command is the shell's text, or a script. Others are handed to
    /// the shell as written, which reads the bodies itself.
    pub fn form(&self, source: &Source) -> RunForm<'_> {
        let word = match &self.command {
            Command::Exec(words) => return RunForm::Exec(words),
            Command::Shell(word) => word,
        };
        if let (Some(heredoc), Ok(Some(_))) = (self.heredocs.first(), Opening::parse(&word.text)) {
            if heredoc.content.starts_with("#!") {
                return RunForm::Script { name: &heredoc.name, content: &heredoc.content };
            }
            return RunForm::Shell(heredoc.content.clone());
        }
        let mut text = word.text.clone();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(source.slice(heredoc.body_span));
            text.push_str(&heredoc.name);
        }
        RunForm::Shell(text)
    }
}
