//! Which registry is whose, and what it is shown.

use super::aws::EcrHost;
use super::azure::AcrHost;
use super::identity::Login;
use super::{CloudError, Clouds, google};
use crate::config::CloudRegistry;

impl Clouds {
    /// What a registry is shown by its cloud; none if it is not that cloud's. `certain` says that
    /// somebody named the cloud for this registry, whose name then need not tell.
    pub(crate) fn login(
        &self,
        cloud: CloudRegistry,
        registry: &str,
        certain: bool,
    ) -> Option<Result<Login, CloudError>> {
        // A name without a port: clouds have none.
        match cloud {
            CloudRegistry::Ecr => match EcrHost::parse(registry) {
                Some(host) => Some(self.block_on(self.ecr(&host))),
                None if certain => Some(Err(CloudError::Place {
                    source_name: "the helper of ECR".to_owned(),
                    problem: format!("{registry} is no registry of ECR"),
                })),
                None => None,
            },
            CloudRegistry::Google if certain || google::is_registry(registry) => {
                Some(self.block_on(self.google_login()))
            }
            CloudRegistry::Acr if certain => Some(self.block_on(self.acr(&AcrHost::named(registry)))),
            CloudRegistry::Acr => AcrHost::parse(registry).map(|host| self.block_on(self.acr(&host))),
            CloudRegistry::Google => None,
        }
    }
}
