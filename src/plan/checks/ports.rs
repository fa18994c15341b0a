//! `EXPOSE`: how its ports are written.

use crate::dockerfile::checks::rule;
use crate::dockerfile::{Diagnostic, Span, expose_ports};

use super::{Spot, Walk};

impl Walk<'_, '_> {
    /// Looks at one port, expanded. BuildKit looks at the protocol first, and at the rest only
    /// after these rules.
    pub(super) fn port(&mut self, spot: &Spot<'_>, span: Span, written: &str) -> Result<(), Box<Diagnostic>> {
        let ports = expose_ports(written);
        let mut parts = written.rsplitn(3, ':');
        let container = parts.next().unwrap_or_default();
        let has_host = parts.any(|part| !part.is_empty());
        let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
        let is_protocol = matches!(protocol.to_lowercase().as_str(), "" | "tcp" | "udp" | "sctp");
        if !port.is_empty() && is_protocol {
            if protocol != protocol.to_lowercase() {
                let message = format!("the protocol `{protocol}` is not in lower case");
                let help = format!("write `{port}/{}`", protocol.to_lowercase());
                let finding = spot.finding(&rule::EXPOSE_PROTO_CASING, Some(span), message);
                self.linter.report_below(spot.comments, finding.with_help(help));
            }
            if has_host {
                let message = format!("`{written}` maps a port, and EXPOSE only names the container's");
                let help = format!("write `{container}`, and map it when the container is run");
                let finding = spot.finding(&rule::EXPOSE_INVALID_FORMAT, Some(span), message);
                self.linter.report_below(spot.comments, finding.with_help(help));
            }
        }
        ports.map(|_| ()).map_err(|message| Box::new(Diagnostic::new(spot.source, span, message)))
    }
}
