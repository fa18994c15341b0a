//! The flags of `yadokari build` as they are typed: kaniko's names, pflag's grammar.
//!
//! Nothing is decided here; [`super::config`] turns it into what is meant.

use clap::Args;

pub(crate) use super::choices::*;
use super::missing::{Ignored, Missing};
use crate::vocabulary::go_boolean;

/// What was typed after `yadokari build` or `executor`.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct Flags {
    /// Targets or groups of the file of --config; its group or target `default` if none is named
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// File that says what to build, such as yadokari.yaml; what is typed counts more
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) config: String,
    /// Say what would be built, and who said so; build nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// What was typed, word by word.
    #[arg(skip)]
    pub(crate) words: Vec<String>,
    /// Build context: a directory, tar://FILE, tar://stdin, git://REPOSITORY[#REF[#COMMIT]], the URL of an
    /// archive or a .git repository, gs://BUCKET/OBJECT, s3://BUCKET/OBJECT, or the URL of a blob of Azure
    #[arg(long, short = 'c', value_name = "WHERE", default_value = "/workspace/")]
    pub(crate) context: String,
    /// As kaniko: a bucket of Google's, or another with its scheme, that the context is in
    #[arg(long, short = 'b', hide = true, default_value = "")]
    pub(crate) bucket: String,
    /// How a git context is fetched: branch=NAME, single-branch=BOOL, depth=N, recurse-submodules=BOOL,
    /// insecure-skip-tls=BOOL; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) git: Vec<String>,
    /// Sub-directory of the context that becomes its root
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) context_sub_path: String,
    /// Dockerfile, looked for relative to the working directory, then to the context
    #[arg(long, short = 'f', value_name = "FILE", default_value = "Dockerfile")]
    pub(crate) dockerfile: String,
    /// Where to push the image; repeatable
    #[arg(long, short = 'd', value_name = "IMAGE")]
    pub(crate) destination: Vec<String>,
    /// Value of an ARG, NAME=VALUE; NAME alone takes the environment's; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) build_arg: Vec<String>,
    /// Stage to build; the last one by default
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Vec<String>,
    /// Platforms of base images and of the result, with commas or repeated: an image each, and an index of
    /// several; the host's by default
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,
    /// As --platform, for one
    #[arg(
        long,
        alias = "customPlatform",
        value_name = "OS/ARCH",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) custom_platform: String,
    /// Label of the image; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Annotation of the image's manifest, or of what is named before it, as in docker buildx:
    /// manifest[PLATFORM]:, manifest-descriptor[PLATFORM]:, index:, index-descriptor:; repeatable
    #[arg(long, value_name = "[LEVEL:]KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Another context, name=DIR | oci-layout://DIR[:TAG][@DIGEST] | docker-image://IMAGE |
    /// docker-archive:FILE[:NAME] | oci-archive:FILE[:TAG] | URL of a repository or archive; repeatable
    #[arg(long, value_name = "NAME=WHERE")]
    pub(crate) build_context: Vec<String>,
    /// Do as BuildKit where that silently gives a wrong image: an unknown --chown name is root, the
    /// last of several files for one name wins, names of an archive that lead out of it stop at its root
    #[arg(long)]
    pub(crate) compat: bool,

    /// Directory of credentials and secrets that yadokari hand-over wrote: read and unlinked first
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) credentials_once: String,
    /// Most bytes of a file that is fetched, such as 500m or 16g
    #[arg(long, value_name = "SIZE", default_value = "16g")]
    pub(crate) fetch_limit: String,
    /// Check the Dockerfile and build nothing, as --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// Build nothing: check, outline or targets, each also with ,format=json
    #[arg(long, value_name = "WHAT", default_value = "", hide_default_value = true)]
    pub(crate) call: String,

    #[command(flatten)]
    pub(crate) result: Result,
    #[command(flatten)]
    pub(crate) layers: Layers,
    #[command(flatten)]
    pub(crate) registry: Registry,
    #[command(flatten)]
    pub(crate) rootfs: Rootfs,
    #[command(flatten)]
    pub(crate) steps: Steps,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) cache: Cache,
    #[command(flatten)]
    pub(crate) ignored: Ignored,
    #[command(flatten)]
    pub(crate) missing: Missing,
}

/// What `yadokari check` has beside the Dockerfile.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CheckFlags {
    /// Form of the report
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: FormatFlag,
    /// What is known of base images
    #[arg(long, value_name = "WHAT", default_value = "fetch")]
    pub(crate) bases: BasesFlag,
    /// Exit with 0 where there are findings only, unless the file says error=true
    #[arg(long)]
    pub(crate) ignore_status: bool,
    #[command(flatten)]
    pub(crate) registry: Registry,
}

/// What becomes of the image.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct Result {
    /// Do not push the image
    #[arg(long)]
    pub(crate) no_push: bool,
    /// Write the image as a `docker load` archive
    #[arg(long, alias = "tarPath", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) tar_path: String,
    /// Write the image as an OCI layout
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) oci_layout_path: String,
    /// Write the image as an archive of an OCI layout
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) oci_archive_path: String,
    /// Push the image by its digest alone, to destinations without tags
    #[arg(long)]
    pub(crate) push_by_digest: bool,
    /// Write the image's digest to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) digest_file: String,
    /// Write repository@digest of each destination to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) image_name_with_digest_file: String,
    /// Write repository:tag@digest of each destination to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) image_name_tag_with_digest_file: String,
    /// Write BuildKit's metadata of the image to a file, in JSON
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) metadata_file: String,
    /// Write the results to a file, each as NAME=VALUE: IMAGE_DIGEST, IMAGE_URL, IMAGE_REF and more
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) env_file: String,
    /// Write one result to a file without a newline, such as digest=FILE or image-ref=FILE; repeatable
    #[arg(long, value_name = "RESULT=FILE")]
    pub(crate) output_file: Vec<String>,
}

/// How layers and manifests look.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Layers")]
pub(crate) struct Layers {
    /// Media types: oci or docker; the base image's by default
    #[arg(long, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    pub(crate) image_format: String,
    /// Compression of layers: gzip or zstd
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    pub(crate) compression: String,
    /// Level of the compression
    #[arg(long, value_name = "N", default_value = "-1", hide_default_value = true)]
    pub(crate) compression_level: i64,
    /// One gzip member for each layer, for readers that stop after the first
    #[arg(long)]
    pub(crate) single_member_gzip: bool,
    /// Zero all times in new layers and in the config
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// One layer at the end of each stage
    #[arg(long)]
    pub(crate) single_snapshot: bool,
    /// Absolute path in the image whose changes are in no layer; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) ignore_path: Vec<String>,
    /// As kaniko: changes in /var/run are in no layer
    #[arg(long, alias = "whitelist-var-run", hide = true)]
    pub(crate) ignore_var_run: bool,
    /// Threads that pack, compress and unpack, and commands of stages at once; all cores by default
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub(crate) jobs: usize,
}

/// How registries are spoken to.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct Registry {
    /// Push in plain HTTP
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Pull in plain HTTP
    #[arg(long)]
    pub(crate) insecure_pull: bool,
    /// Registry spoken to in plain HTTP; repeatable
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<String>,
    /// Check no certificates
    #[arg(long)]
    pub(crate) skip_tls_verify: bool,
    /// Check no certificates when pulling
    #[arg(long)]
    pub(crate) skip_tls_verify_pull: bool,
    /// Registry whose certificates are not checked; repeatable
    #[arg(long, value_name = "HOST")]
    pub(crate) skip_tls_verify_registry: Vec<String>,
    /// CA roots of a registry, HOST=FILE; repeatable
    #[arg(long, value_name = "HOST=FILE")]
    pub(crate) registry_certificate: Vec<String>,
    /// Certificate and key that a registry is shown, HOST=CERTIFICATE,KEY; repeatable
    #[arg(long, value_name = "HOST=FILE,FILE")]
    pub(crate) registry_client_cert: Vec<String>,
    /// More attempts at each push request
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub(crate) push_retry: i64,
    /// Count a tag that exists and cannot be moved as pushed
    #[arg(long)]
    pub(crate) push_ignore_immutable_tag_errors: bool,
    /// More attempts at each download
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub(crate) image_download_retry: i64,
    /// More attempts at unpacking a base image
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub(crate) image_fs_extract_retry: i64,
    /// Where Docker Hub's images are pulled from first, HOST[/PREFIX]; repeatable, asked in order
    #[arg(long, value_name = "MIRROR")]
    pub(crate) registry_mirror: Vec<String>,
    /// Where the images of any registry are pulled from first, HOST=MIRROR[/PREFIX][;…]; repeatable
    #[arg(long, value_name = "MAP")]
    pub(crate) registry_map: Vec<String>,
    /// Do not ask a registry that has mirrors itself
    #[arg(long)]
    pub(crate) skip_default_registry_fallback: bool,
    /// Do not try before the build whether the destinations may be pushed to
    #[arg(long)]
    pub(crate) skip_push_permission_check: bool,
    /// File with credentials in the format of docker's config.json, asked before all others
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(crate) authfile: String,
    /// Sources of credentials beside docker's config.json, in this order: env, google, ecr, acr, gitlab; all by
    /// default, "" for none
    #[arg(long, value_name = "NAME")]
    pub(crate) credential_helpers: Vec<String>,
}

/// How steps get their root filesystem.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Isolation")]
pub(crate) struct Rootfs {
    /// How steps get their root filesystem
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub(crate) isolation: IsolationFlag,
    /// What to do where a path of the image lies on a mounted volume
    #[arg(long, value_name = "WHAT", default_value = "swap")]
    pub(crate) mount_conflict: MountConflictFlag,
    /// Fail where credential files cannot be hidden from steps
    #[arg(long)]
    pub(crate) require_hidden_credentials: bool,
    /// Build in place outside a container too
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave the image's files as this container's own after the build, until `yadokari restore` or the next one
    #[arg(long)]
    pub(crate) materialize: bool,
    /// Directory for intermediate files
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) work_dir: String,
    /// As kaniko: its `work` directory is used where --work-dir is not given
    #[arg(long, value_name = "DIR", default_value = "", hide = true)]
    pub(crate) kaniko_dir: String,
}

/// What steps are given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Steps")]
pub(crate) struct Steps {
    /// Secret for RUN --mount=type=secret, id=NAME,src=FILE | id=NAME,env=VARIABLE; repeatable. Names such as
    /// GIT_AUTH_TOKEN.HOST and HTTP_AUTH_TOKEN_HOST are for ADD and contexts
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
    /// Network of steps that name none: default, host or none
    #[arg(long, value_name = "NETWORK", default_value = "default", hide_default_value = true)]
    pub(crate) network: String,
    /// Host name that steps see
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) hostname: String,
    /// Line of the steps' /etc/hosts, NAME:ADDRESS or NAME=ADDRESS; repeatable
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Right for steps that ask for it: security.insecure (every capability, no filter of system calls),
    /// network.host, device or device=NAME; repeatable
    #[arg(long, value_name = "RIGHT")]
    pub(crate) allow: Vec<String>,
    /// Directory of CDI specs for RUN --device, in place of /etc/cdi, /var/run/cdi and /etc/buildkit/cdi; repeatable
    #[arg(long, value_name = "DIR")]
    pub(crate) cdi_spec_dir: Vec<String>,
    /// What a failed RUN leaves: nothing, a shell in its root on this terminal, or the root itself (keep)
    #[arg(long, value_name = "WHAT", default_value = "nothing", hide_default_value = true)]
    pub(crate) on_failure: OnFailureFlag,
    /// SSH agent for RUN --mount=type=ssh, default | ID=SOCKET | ID=KEY[,KEY]; repeatable
    #[arg(long, value_name = "AGENT")]
    pub(crate) ssh: Vec<String>,
}

/// What images from elsewhere may ask for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Bytes that one layer of a base image may unpack to, such as 200g; 64g by default
    #[arg(long, value_name = "SIZE", default_value = "", hide_default_value = true)]
    pub(crate) max_layer_size: String,
    /// Files that all layers of a base image may have together; 4000000 by default
    #[arg(long, value_name = "N", default_value = "", hide_default_value = true)]
    pub(crate) max_image_entries: String,
}

/// What is shown while building.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Log {
    /// trace, debug, info, warn, error, fatal or panic
    #[arg(long, short = 'v', value_name = "LEVEL", default_value = "info")]
    pub(crate) verbosity: String,
    /// text, color or json
    #[arg(long, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    pub(crate) log_format: String,
    /// Date and time in each line
    #[arg(long)]
    pub(crate) log_timestamp: bool,
    /// A live display on a terminal (tty), or lines (plain)
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressFlag,
}

/// Where the results of steps are looked up and kept.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cache")]
pub(crate) struct Cache {
    /// Look up the results of steps in --cache-repo and keep them there
    #[arg(long)]
    pub(crate) cache: bool,
    /// Repository of the cache, or oci:DIR; <first destination>/cache by default
    #[arg(long, value_name = "REPOSITORY", default_value = "", hide_default_value = true)]
    pub(crate) cache_repo: String,
    /// Directory with base images and results of steps
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) cache_dir: String,
    /// Where results are looked up too: REPOSITORY, type=registry,ref=REPOSITORY, type=inline,ref=IMAGE or type=local,src=DIR; repeatable
    #[arg(long, value_name = "WHERE")]
    pub(crate) cache_from: Vec<String>,
    /// Where results are kept too: as --cache-from (type=inline: in the image itself), with mode=min for the image's own layers only; repeatable
    #[arg(long, value_name = "WHERE")]
    pub(crate) cache_to: Vec<String>,
    /// Where RUN --mount=type=cache directories are restored from: as --cache-from, or oci:DIR; repeatable
    #[arg(long, value_name = "WHERE")]
    pub(crate) cache_mounts_from: Vec<String>,
    /// Where RUN --mount=type=cache directories are saved: as --cache-to, or oci:DIR; repeatable
    #[arg(long, value_name = "WHERE")]
    pub(crate) cache_mounts_to: Vec<String>,
    /// Most bytes of files in a directory that is saved or restored
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    pub(crate) cache_mounts_limit: String,
    /// Use no result that is older
    #[arg(long, value_name = "DURATION", default_value = "336h")]
    pub(crate) cache_ttl: String,
    /// Whether COPY and ADD take part; they do by default
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = go_boolean)]
    pub(crate) cache_copy_layers: Option<bool>,
    /// Whether RUN and WORKDIR take part; they do by default
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = go_boolean)]
    pub(crate) cache_run_layers: Option<bool>,
    /// Keep nothing in the cache; =false keeps also in jobs of merge requests, forks and unprotected branches
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = go_boolean)]
    pub(crate) no_push_cache: Option<bool>,
    /// Look nothing up; results are kept all the same
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Stage that looks nothing up; repeatable
    #[arg(long, value_name = "STAGE")]
    pub(crate) no_cache_filter: Vec<String>,
    /// A name that separates results: only builds with the same one share them
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) cache_scope: String,
    /// Explain every miss with the whole comparison
    #[arg(long)]
    pub(crate) cache_explain: bool,
    /// What counts of the modes of context files: disk (all) or git (0755 and 0644)
    #[arg(long, value_name = "HOW", default_value = "disk")]
    pub(crate) context_modes: ContextModesFlag,
}
