//! What a machine may say whose agent does not run: that its boot has failed. Its bootstrap token opens this and nothing else
//! here; no proof of possession comes with it, because there is no agent yet to have a key (I11).

use axum::Router;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use http::{StatusCode, header};
use ringfence_protocol::link::BootFailedReport;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::{self, Principal};

use super::App;
use super::extract::{JsonBody, source};
use super::problem::Failure;
use super::table::Table;
use crate::app::boot_failure::{Teller, report_boot_failure};
use crate::app::caller::Source;
use crate::error::Error;
use crate::ports::{Clock, Nodes};

/// The router.
pub fn routes() -> Router<App> {
    Table::new(&[Principal::Machine]).serve(&routes::AGENT_BOOT_FAILURE, tell_boot_failure).build()
}

/// A machine with a bootstrap token, not yet verified.
struct Machine {
    token: String,
    source: Source,
}

impl FromRequestParts<App> for Machine {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Failure> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let token = values.next().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match (token, values.next()) {
            (Some(token), None) => Ok(Self { token: token.to_owned(), source: source(parts) }),
            (Some(_) | None, _) => {
                Err(Failure(Error::new(ErrorCode::TokenInvalid, "Machines send one Authorization header.")))
            }
        }
    }
}

#[worker::send]
async fn tell_boot_failure(
    State(app): State<App>,
    machine: Machine,
    body: JsonBody<BootFailedReport>,
) -> std::result::Result<StatusCode, Failure> {
    let teller = Teller { token: &machine.token, source: &machine.source };
    let node = report_boot_failure(&app.host, &app.config, &teller, &body.params).await?;
    // Its object deletes the machine.
    app.host.wake(node, app.host.now()).await.map_err(Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}
