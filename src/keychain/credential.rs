//! A credential, which never prints its secret.

use std::fmt;

/// What proves who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What logs call the place it comes from.
    pub source: String,
    /// The secret itself.
    pub secret: Secret,
}

/// The secret of a [`Credential`].
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// User name and password, for Basic authentication or to get tokens with.
    Basic {
        /// User name.
        username: String,
        /// Password or access token.
        password: String,
    },
    /// An OAuth2 refresh token, exchanged for an access token at the token server.
    Identity(String),
    /// A bearer token sent to the registry as it is.
    Registry(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).field("secret", &self.secret).finish()
    }
}

impl fmt::Debug for Secret {
    /// The kind only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Basic { .. } => "Basic(…)",
            Secret::Identity(_) => "Identity(…)",
            Secret::Registry(_) => "Registry(…)",
        })
    }
}
