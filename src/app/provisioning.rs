//! The kill switch: an admin, or the operator by a variable, pauses the making of machines for everybody. Nothing that ends a
//! machine asks for it.

use ringfence_protocol::params::PauseProvisioningParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::ProvisioningView;

use super::caller::Caller;
use super::text::display_text;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::switches::{self, SwitchRow};
use crate::store::{audit, one};

/// Longest reason.
const MAX_REASON_CHARS: usize = 200;

/// Whether machines are made.
pub async fn get(p: &impl Platform, settings: &Settings, caller: &Caller) -> Result<ProvisioningView> {
    caller.require_admin()?;
    let row: Option<SwitchRow> = one(p, switches::provisioning()).await?;
    Ok(ProvisioningView {
        paused: settings.provisioning_paused || row.is_some(),
        by_operator: settings.provisioning_paused,
        reason: row.as_ref().map(|row| row.reason.clone()),
        by: row.as_ref().map(|row| row.actor.clone()),
        since_at: row.map(|row| UnixMillis::new(row.engaged_at_ms)),
    })
}

/// Makes no more machines. A repeat succeeds and changes nothing.
pub async fn pause(
    p: &impl Platform,
    settings: &Settings,
    caller: &Caller,
    params: &PauseProvisioningParams,
) -> Result<ProvisioningView> {
    caller.require_admin()?;
    let reason = display_text("reason", &params.reason, MAX_REASON_CHARS)?;
    let now = p.now();
    let act = caller.act("provisioning.pause", "", reason.clone());
    let actor = caller.user.id.to_string();
    p.batch(vec![switches::pause_provisioning(&actor, &reason, now), audit::record_if_changed(&act, now)]).await?;
    get(p, settings, caller).await
}

/// Makes machines again. A repeat succeeds.
pub async fn resume(p: &impl Platform, settings: &Settings, caller: &Caller) -> Result<ProvisioningView> {
    caller.require_admin()?;
    let act = caller.act("provisioning.resume", "", "");
    p.batch(vec![switches::resume_provisioning(), audit::record_if_changed(&act, p.now())]).await?;
    get(p, settings, caller).await
}

/// Whether no machine may be asked for now.
pub(super) async fn is_paused(p: &impl Platform, settings: &Settings) -> Result<bool> {
    Ok(settings.provisioning_paused || one::<SwitchRow>(p, switches::provisioning()).await?.is_some())
}

/// What somebody is told who asks for one.
pub(super) fn paused() -> Error {
    Error::new(
        ErrorCode::ProvisioningPaused,
        "An admin has paused the making of machines for everybody. Nothing was created; nodes you have go on, take workspaces and can be deleted. Try again later, or ask an admin.",
    )
}
