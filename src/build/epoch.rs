//! `SOURCE_DATE_EPOCH=context`: the time of the context's commit.

use crate::config::BuildConfig;
use crate::context::Context;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// The build with that time in place of the word, where it is a build argument. A context that is no
/// repository has none, and then nothing is given (BuildKit, `resolveSourceDateEpochValue`).
pub(super) fn of_context(config: &BuildConfig, context: Option<&Context>) -> BuildConfig {
    let mut config = config.clone();
    let given = config.build_args.iter().rev().find(|(name, _)| name == NAME);
    if given.is_some_and(|(_, value)| value == "context") {
        config.source_date_epoch = context.and_then(Context::time);
        config.build_args.retain(|(name, _)| name != NAME);
        config.build_args.extend(config.source_date_epoch.map(|time| (NAME.to_owned(), time.to_string())));
    }
    config
}
