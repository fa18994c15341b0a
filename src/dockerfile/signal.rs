//! The signals of `STOPSIGNAL`.

const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Whether an expanded `STOPSIGNAL` can be sent: a number other than 0, or a name of Linux in any
/// case, with or without `SIG`, as moby/sys/signal knows them.
pub fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let within = |offset: Option<&str>, most: u32| {
        offset.is_some_and(|digits| (1..=most).any(|number| digits == number.to_string()))
    };
    NAMES.contains(&name)
        || within(name.strip_prefix("RTMIN+"), 15)
        || within(name.strip_prefix("RTMAX-"), 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_signals() {
        for text in ["9", "SIGTERM", "term", "sigkill", "RTMIN", "SIGRTMIN+15", "RTMAX-1", "rtmax-14", "99"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["", "0", "SIG", "SIGSIGTERM", "FOO", "RTMIN+16", "RTMIN+0", "RTMIN+01", "RTMAX-15", "9 "]
        {
            assert!(!is_signal(text), "{text}");
        }
    }
}
