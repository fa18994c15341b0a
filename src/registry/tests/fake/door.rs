//! Who may do what at the registry for tests, and its token server.

use std::net::SocketAddr;

use super::message::{Reply, Request, reply, undo_percent};
use super::{Door, State};

impl State {
    /// Where tokens are given.
    pub(super) fn token_path(&self) -> &'static str {
        self.realm.map_or("/token", |realm| realm)
    }

    pub(super) fn give_token(&mut self, request: &Request) -> Reply {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let form = undo_percent(&form);
        let field = |name: &str| {
            form.split('&')
                .filter_map(|p| p.split_once('='))
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.to_owned())
        };
        let shown = match request.method.as_str() {
            "POST" => field("refresh_token"),
            _ => request.header("authorization").map(str::to_owned),
        };
        if let Door::Token(Some(wanted)) = &self.door
            && shown.as_ref() != Some(wanted)
        {
            return reply(401).body(r#"{"details":"incorrect username or password"}"#);
        }
        let asked: Vec<String> = match request.method.as_str() {
            "POST" => field("scope")
                .into_iter()
                .flat_map(|s| s.split('+').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            _ => request.query("scope").into_iter().map(str::to_owned).collect(),
        };
        if asked.iter().any(|s| self.denied.contains(s)) {
            return reply(403).body(r#"{"errors":[{"code":"DENIED","message":"not your repository"}]}"#);
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), asked);
        reply(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#))
    }

    /// The answer to a request that may not be.
    pub(super) fn refuse(&self, request: &Request, address: SocketAddr) -> Option<Reply> {
        let shown = request.header("authorization");
        match &self.door {
            Door::Open => None,
            Door::Basic(pair) => {
                use base64::Engine as _;
                let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                (shown != Some(&wanted)).then(|| reply(401).with("WWW-Authenticate", self.basic))
            }
            Door::Token(_) => {
                // Another name of this machine is another host.
                let host = match self.realm {
                    Some(_) => format!("localhost:{}", address.port()),
                    None => address.to_string(),
                };
                let realm = format!("http://{host}{}", self.token_path());
                let challenge =
                    format!("Bearer realm=\"{realm}\",service=\"fake\",scope=\"repository:x:pull\"");
                let refusal = || Some(reply(401).with("WWW-Authenticate", &challenge));
                let token = shown.and_then(|s| s.strip_prefix("Bearer "));
                let Some(scopes) =
                    token.filter(|t| !self.revoked.contains(*t)).and_then(|t| self.tokens.get(t))
                else {
                    return refusal();
                };
                let needed = needed_scopes(request);
                let has = |needed: &(String, &str)| {
                    scopes.iter().any(|s| {
                        s.strip_prefix(&format!("repository:{}:", needed.0))
                            .is_some_and(|actions| actions.split(',').any(|a| a == needed.1))
                    })
                };
                if needed.iter().all(has) { None } else { refusal() }
            }
        }
    }
}

/// What a token must allow for a request.
fn needed_scopes(request: &Request) -> Vec<(String, &'static str)> {
    let path = super::store::below_root(request.path());
    let end = path.find("/blobs/").or_else(|| path.find("/manifests/"));
    let Some(end) = end else { return Vec::new() };
    let action = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
    let mut needed = vec![(path[..end].to_owned(), action)];
    needed.extend(request.query("from").first().map(|from| ((*from).to_owned(), "pull")));
    needed
}
