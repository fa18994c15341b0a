//! The ports of `EXPOSE`.

use std::net::IpAddr;

/// The ports an expanded word of `EXPOSE` stands for, each as a config names it: `80/tcp`. A
/// range gives all its ports.
///
/// An address and a host port before the container's port are checked and dropped, as BuildKit
/// does: `127.0.0.1:8080:80` is `80/tcp`.
///
/// # Errors
/// What is wrong, one sentence without a full stop.
pub fn expose_ports(word: &str) -> Result<Vec<String>, String> {
    let mut parts = word.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Err(format!("`{word}` names no port"));
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(format!("`{protocol}` is no protocol of a port: it is tcp, udp or sctp")),
    };
    check_address(address)?;
    let (first, last) = range(ports)?;
    if !host.is_empty() {
        let (host_first, host_last) = range(host)?;
        if last != first && last - first != host_last - host_first {
            return Err(format!("`{host}` and `{ports}` are ranges of different length"));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn check_address(address: &str) -> Result<(), String> {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if address.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(format!("`{address}` is no IP address"))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(_), Some(_)) => Err(format!("the range `{text}` ends before it begins")),
        _ => Err(format!("`{text}` is no port: it is a number up to 65535, or a range of them")),
    }
}

/// A number as Go's `strconv.ParseInt` reads it, a plus sign included.
fn port(text: &str) -> Option<u16> {
    text.parse::<i64>().ok().and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        for (word, expected) in [
            ("80", &["80/tcp"][..]),
            ("80/UDP", &["80/udp"]),
            ("80/", &["80/tcp"]),
            ("0080", &["80/tcp"]),
            ("8000-8002/sctp", &["8000/sctp", "8001/sctp", "8002/sctp"]),
            ("65535", &["65535/tcp"]),
            ("8080:80", &["80/tcp"]),
            ("8080-8081:80", &["80/tcp"]),
            ("127.0.0.1:8080:80", &["80/tcp"]),
            ("127.0.0.1::80", &["80/tcp"]),
            ("[::1]:8080:80", &["80/tcp"]),
            ("::1:8080:80", &["80/tcp"]),
            ("+80-81", &["80/tcp", "81/tcp"]),
            ("80-80", &["80/tcp"]),
            ("[2001:4860:0:2001::68]::333", &["333/tcp"]),
            ("2001:4860:0:2001::68::333", &["333/tcp"]),
            ("::::80", &["80/tcp"]),
            ("0.0.0.0:1234-1235:3333-3334/udp", &["3333/udp", "3334/udp"]),
        ] {
            assert_eq!(expose_ports(word).unwrap(), expected, "{word}");
        }
    }

    #[test]
    fn refuses() {
        for word in [
            "",
            "/tcp",
            "a",
            "80/http",
            "65536",
            "-1",
            "80-",
            "90-80",
            "1-2-3",
            "++80",
            "80-x",
            " 80",
            "x:80",
            "localhost:1234-1236:1234-1236/tcp",
            "x:1:80",
            "80-82:90-91",
        ] {
            assert!(expose_ports(word).is_err(), "{word}");
        }
    }
}
