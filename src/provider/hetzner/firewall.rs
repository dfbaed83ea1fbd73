//! The installation's firewall at Hetzner: one without inbound rules, which lets nothing in whatever runs on a server. Each
//! server gets it with the order that makes it, so that there is no moment without. It is the second wall: the machine loads
//! its own before anything else.
//!
//! Found by its name, which is unique in a project, or made; a lost answer is found at the next attempt. Rules that somebody
//! has added are taken out again before a server relies on it. That is one call before an order, and at most three.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Hetzner;
use super::classify::Effect;
use crate::provider::error::{ErrorClass, ProviderError, Result};
use crate::provider::instance::INSTALLATION_LABEL;

/// A firewall's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FirewallId(u64);

#[derive(Deserialize)]
struct Firewall {
    id: FirewallId,
    name: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    direction: String,
}

#[derive(Deserialize)]
struct Firewalls {
    firewalls: Vec<Firewall>,
}

#[derive(Deserialize)]
struct FirewallEnvelope {
    firewall: Firewall,
}

#[derive(Serialize)]
struct CreateFirewall<'a> {
    name: &'a str,
    labels: std::collections::BTreeMap<&'static str, &'a str>,
    rules: [(); 0],
}

#[derive(Serialize)]
struct SetRules {
    rules: [(); 0],
}

/// The name of an installation's firewall.
fn firewall_name(installation: &str) -> String {
    format!("ringfence-{installation}")
}

impl Hetzner {
    /// The installation's firewall, which lets nothing in.
    pub(super) async fn firewall(&self, installation: &str) -> Result<FirewallId> {
        let name = firewall_name(installation);
        if let Some(found) = self.find_firewall(&name).await? {
            return self.without_rules(found).await;
        }
        let labels = [(INSTALLATION_LABEL, installation)].into();
        let body = CreateFirewall { name: &name, labels, rules: [] };
        match self.write::<FirewallEnvelope>(Method::POST, "/firewalls", &body).await {
            Ok(made) => Ok(made.firewall.id),
            // Another order was quicker.
            Err(refusal) if refusal.error.class == ErrorClass::NameTaken => match self.find_firewall(&name).await? {
                Some(found) => self.without_rules(found).await,
                None => Err(ProviderError::new(
                    ErrorClass::Transient,
                    "firewall_not_listed",
                    "the firewall exists and is not listed yet",
                )),
            },
            Err(refusal) => Err(not_of_the_server(refusal.error)),
        }
    }

    async fn find_firewall(&self, name: &str) -> Result<Option<Firewall>> {
        let found: Firewalls =
            self.read("/firewalls", &[("name", name)]).await.map_err(|refusal| not_of_the_server(refusal.error))?;
        Ok(found.firewalls.into_iter().find(|firewall| firewall.name == name))
    }

    /// Nothing is let in by it any more, whoever wanted to.
    async fn without_rules(&self, firewall: Firewall) -> Result<FirewallId> {
        // Outbound rules only ever forbid; what they forbid is their author's business.
        if firewall.rules.iter().all(|rule| rule.direction == "out") {
            return Ok(firewall.id);
        }
        let path = format!("/firewalls/{}/actions/set_rules", firewall.id.0);
        let request = super::json(self.request(Method::POST, &path)?, &SetRules { rules: [] })?;
        self.send::<serde::de::IgnoredAny>(request, Effect::Write)
            .await
            .map_err(|refusal| not_of_the_server(refusal.error))?;
        Ok(firewall.id)
    }
}

/// No server was asked for: whatever is not known of the firewall, none was made. A name that is taken or a thing that is not found
/// would be read as the server's.
fn not_of_the_server(error: ProviderError) -> ProviderError {
    let class = match error.class {
        ErrorClass::NameTaken | ErrorClass::Unknown => ErrorClass::Transient,
        class @ (ErrorClass::Capacity
        | ErrorClass::Quota
        | ErrorClass::Auth
        | ErrorClass::RateLimited
        | ErrorClass::Invalid
        | ErrorClass::Transient) => class,
    };
    ProviderError { class, ..error }
}
