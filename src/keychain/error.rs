//! Why credentials could not be had. No variant ever holds a secret.

use crate::cloud::CloudError;

/// Why credentials could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// A file could not be read.
    #[error("cannot read credentials from {name}: {source}")]
    Read {
        /// The source's name.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write credentials to {name}: {source}")]
    Write {
        /// The file's name.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program keeps the credentials of the registry.
    #[error("the credentials for {server} are kept by '{program}', which {name} names")]
    KeptElsewhere {
        /// The file's name.
        name: String,
        /// The program.
        program: String,
        /// The registry.
        server: String,
    },
    /// Not the JSON it should be. The parser's own words are left out: they may quote a secret.
    #[error("{name} is not a docker config.json: {problem} at line {line}, column {column}")]
    Json {
        /// The source's name.
        name: String,
        /// What kind of mistake.
        problem: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An entry holds something that is no credential.
    #[error("the credentials for '{key}' in {name} cannot be used: {problem}")]
    Entry {
        /// The source's name.
        name: String,
        /// The entry's key.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The name of a helper is no name of a program.
    #[error("'{program}', named in {name} as a credential helper, is no program name")]
    HelperName {
        /// The source's name.
        name: String,
        /// The text.
        program: String,
    },
    /// The helper program does not exist.
    #[error("the credential helper '{program}', named in {name} for {server}, is not in PATH")]
    HelperMissing {
        /// The source's name.
        name: String,
        /// The program.
        program: String,
        /// What it was to be asked for.
        server: String,
    },
    /// The helper program could not be started or talked to.
    #[error("cannot run the credential helper '{program}', named in {name}: {source}")]
    HelperIo {
        /// The source's name.
        name: String,
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The helper program failed.
    #[error("the credential helper '{program}' failed for {server} ({status}): {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
        /// How it ended.
        status: String,
        /// What it said, bounded, without control characters.
        message: String,
    },
    /// The helper program did not answer in time.
    #[error("the credential helper '{program}' did not answer for {server} within {seconds} s")]
    HelperTimeout {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// The helper program's answer is not what the protocol says.
    #[error("the credential helper '{program}' answered for {server} with something that is no credential")]
    HelperAnswer {
        /// The program.
        program: String,
        /// What it was asked for.
        server: String,
    },
    /// What a helper program would have done could not be done without it.
    #[error(
        "the credential helper '{program}', named in {name} for {server}, is not in PATH; done without it: {source}"
    )]
    Cloud {
        /// The source's name.
        name: String,
        /// The program.
        program: String,
        /// What it was to be asked for.
        server: String,
        /// Why not.
        source: Box<CloudError>,
    },
    /// A helper would have to run after the first step has changed the root.
    #[error(
        "the credential helper '{program}' was not asked for {server} before the first step, and must not run after it"
    )]
    Sealed {
        /// The program.
        program: String,
        /// What it was to be asked for.
        server: String,
    },
}

impl KeychainError {
    /// One way out.
    pub fn help(&self) -> Option<String> {
        match self {
            KeychainError::Read { .. } => None,
            KeychainError::Write { .. } => {
                Some("name a directory that can be written in DOCKER_CONFIG".to_owned())
            }
            KeychainError::KeptElsewhere { name, program, .. } => {
                Some(format!("give them to `{program} store`, or take the entry out of {name}"))
            }
            KeychainError::Cloud { source, .. } => source.help(),
            KeychainError::Json { .. } | KeychainError::Entry { .. } => {
                Some("write the entry as `docker login` does".to_owned())
            }
            KeychainError::HelperMissing { name, program, .. }
            | KeychainError::HelperName { name, program } => {
                Some(format!("install {program}, or take the credsStore or credHelpers entry out of {name}"))
            }
            KeychainError::HelperIo { program, .. }
            | KeychainError::HelperFailed { program, .. }
            | KeychainError::HelperTimeout { program, .. }
            | KeychainError::HelperAnswer { program, .. } => {
                Some(format!("try it by hand: echo <registry> | {program} get"))
            }
            KeychainError::Sealed { .. } => {
                Some("give the credentials in the auths of config.json".to_owned())
            }
        }
    }
}
