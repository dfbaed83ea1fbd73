//! Accounts at the cloud in memory.

use ringfence::app::outcome::Accounts;
use ringfence::provider;
use ringfence::store::credentials::CredentialRow;

use super::cloud::FakeCloud;

/// Every credential opens the one cloud there is.
pub struct Open<'a>(pub &'a FakeCloud);

impl<'a> Accounts for Open<'a> {
    type Cloud = &'a FakeCloud;
    fn account(&self, _: &CredentialRow) -> provider::Result<&'a FakeCloud> {
        Ok(self.0)
    }
}
