//! Images: local ones are used as they are, others are pulled, with their progress told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use ringfence_protocol::container::RegistryLogin;

use super::api::Api;
use super::failure;
use super::reference::Reference;
use crate::workspaces::{EngineError, Voice};

/// Longest time of a pull: so that this says why, a minute before the control plane gives up (`CREATING_MAX_SECS`).
const PULL_WITHIN: Duration = Duration::from_secs(14 * 60);
/// Progress is said at most so often.
const SAY_EVERY: Duration = Duration::from_millis(500);

/// An image on this machine.
pub(super) struct Image {
    /// How the engine is asked for it.
    pub(super) name: String,
    /// Places where it wants volumes of its own.
    pub(super) volumes: Vec<String>,
}

/// Makes sure that the image is on the machine.
pub(super) async fn ensure(
    api: &Api,
    text: &str,
    login: Option<&RegistryLogin>,
    voice: &Voice,
) -> Result<Image, EngineError> {
    let reference = Reference::parse(text)?;
    reference.check_address()?;
    if let Some(image) = local(api, &reference).await? {
        return Ok(image);
    }
    reference.check_resolved().await?;
    let pull = async {
        let pulled = tokio::time::timeout(PULL_WITHIN, pull(api, &reference, login, voice)).await;
        pulled.unwrap_or_else(|_| Err(failure::of_pull(text, &Error::RequestTimeoutError)))
    };
    voice.step(format!("pull {reference}"), pull).await?;
    let image = local(api, &reference).await?;
    image.ok_or_else(|| EngineError::refused(format!("{reference} was fetched and is not there. Try again.")))
}

async fn local(api: &Api, reference: &Reference) -> Result<Option<Image>, EngineError> {
    let name = reference.to_string();
    match api.docker.inspect_image(&name).await {
        Ok(image) => {
            let volumes = image.config.and_then(|config| config.volumes).unwrap_or_default();
            let mut volumes: Vec<String> = volumes.into_iter().collect();
            volumes.sort();
            Ok(Some(Image { name, volumes }))
        }
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(failure::of(&error)),
    }
}

async fn pull(
    api: &Api,
    reference: &Reference,
    login: Option<&RegistryLogin>,
    voice: &Voice,
) -> Result<(), EngineError> {
    let options = CreateImageOptionsBuilder::default().from_image(&reference.name()).tag(&reference.version()).build();
    let credentials = login.map(|login| DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().to_owned()),
        ..DockerCredentials::default()
    });
    let mut answers = std::pin::pin!(api.docker.create_image(Some(options), None, credentials));
    let mut layers = Layers::default();
    let mut said: Option<Instant> = None;
    let step = format!("pull {reference}");
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|error| failure::of_pull(&reference.to_string(), &error))?;
        layers.heard(answer);
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            let (done_bytes, total_bytes) = layers.bytes();
            voice.progress(&step, layers.detail(), done_bytes, total_bytes);
        }
    }
    Ok(())
}

/// How far each layer is.
#[derive(Default)]
struct Layers {
    /// Done and total, in bytes; zero where that is not said.
    by_id: HashMap<String, (u64, u64)>,
    done: Vec<String>,
}

impl Layers {
    fn heard(&mut self, answer: CreateImageInfo) {
        let Some(id) = answer.id else { return };
        let status = answer.status.unwrap_or_default();
        // An answer about the image as a whole has its tag for an id.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.by_id.entry(id.clone()).or_default();
        let amount = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        if let Some(detail) = answer.progress_detail.filter(|_| status == "Downloading") {
            *layer = (amount(detail.current), amount(detail.total).max(layer.1));
        }
        let is_done = ["Pull complete", "Already exists", "Download complete"].contains(&status.as_str());
        if is_done {
            layer.0 = layer.0.max(layer.1);
            if !self.done.contains(&id) {
                self.done.push(id);
            }
        }
    }

    fn detail(&self) -> Option<String> {
        let total = self.by_id.len();
        (total > 0).then(|| format!("{} of {total} layers", self.done.len()))
    }

    fn bytes(&self) -> (Option<u64>, Option<u64>) {
        let done = self.by_id.values().map(|(done, _)| done).sum();
        let total = self.by_id.values().map(|(_, total)| total).sum();
        if total == 0 { (None, None) } else { (Some(done), Some(total)) }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn answer(id: &str, status: &str, amounts: Option<(i64, i64)>) -> CreateImageInfo {
        let detail = amounts.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: detail,
            error_detail: None,
        }
    }

    #[test]
    fn layers_and_bytes_are_counted_once() {
        let mut layers = Layers::default();
        layers.heard(answer("13", "Pulling from library/debian", None));
        assert_eq!((layers.detail(), layers.bytes()), (None, (None, None)));
        layers.heard(answer("a", "Downloading", Some((10, 100))));
        layers.heard(answer("b", "Downloading", Some((5, 50))));
        layers.heard(answer("a", "Downloading", Some((70, 100))));
        assert_eq!(layers.bytes(), (Some(75), Some(150)));
        layers.heard(answer("a", "Download complete", None));
        layers.heard(answer("a", "Pull complete", None));
        assert_eq!(layers.detail().as_deref(), Some("1 of 2 layers"));
        assert_eq!(layers.bytes(), (Some(105), Some(150)));
    }
}
