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
use crate::workspaces::{EngineError, Span, Voice};

/// While an image comes, it is looked so often whether there is still room for it.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_millis(500);
/// Progress is said at most so often.
const SAY_EVERY: Duration = Duration::from_millis(500);

/// An image on this machine.
pub(super) struct Image {
    /// How the engine is asked for it.
    pub(super) name: String,
    /// Places where it wants volumes of its own.
    pub(super) volumes: Vec<String>,
}

/// What the owner has said of images. A repository may name any image, of any registry: nothing else says whose a login is.
pub(super) struct Owners<'a> {
    /// The image that they named themselves.
    pub(super) image: &'a str,
    /// Their credentials for its registry.
    pub(super) login: Option<&'a RegistryLogin>,
}

impl Owners<'_> {
    /// What a registry is told to let the machine in: the login at the registry it is for, and nothing at any other.
    fn credentials_for(&self, reference: &Reference) -> Option<DockerCredentials> {
        let own = Reference::parse(self.image).ok()?;
        let login = self.login.filter(|_| own.registry() == reference.registry())?;
        Some(DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.expose().to_owned()),
            serveraddress: Some(own.registry().to_owned()),
            ..DockerCredentials::default()
        })
    }
}

/// Makes sure that the image is on the machine.
pub(super) async fn ensure(
    api: &Api,
    text: &str,
    owners: &Owners<'_>,
    voice: &Voice,
    span: &Span,
    has_room: impl Fn() -> bool,
) -> Result<Image, EngineError> {
    let reference = Reference::parse(text)?;
    reference.check_address()?;
    if let Some(image) = local(api, &reference).await? {
        return Ok(image);
    }
    reference.check_resolved().await?;
    let credentials = owners.credentials_for(&reference);
    let pull = async {
        let pulled = tokio::time::timeout(span.left(), pull(api, &reference, credentials, voice)).await;
        pulled.unwrap_or_else(|_| Err(failure::of_pull(text, &Error::RequestTimeoutError)))
    };
    // An image says how large it is as it comes: the disk is what is looked at.
    let pull = async {
        tokio::select! {
            biased;
            () = until_full(has_room) => Err(failure::disk_full()),
            pulled = pull => pulled,
        }
    };
    voice.step(format!("pull {reference}"), pull).await?;
    let image = local(api, &reference).await?;
    image.ok_or_else(|| EngineError::refused(format!("{reference} was fetched and is not there. Try again.")))
}

async fn until_full(has_room: impl Fn() -> bool) {
    while has_room() {
        tokio::time::sleep(LOOK_AT_DISK_EVERY).await;
    }
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
    credentials: Option<DockerCredentials>,
    voice: &Voice,
) -> Result<(), EngineError> {
    let options = CreateImageOptionsBuilder::default().from_image(&reference.name()).tag(&reference.version()).build();
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
    use ringfence_protocol::ids::WorkspaceId;
    use ringfence_protocol::params::SecretText;
    use tokio::sync::mpsc;

    use super::super::fake_engine::FakeEngine;
    use super::*;

    /// What the engine was told for a registry when this image was pulled, for an owner who named that one.
    async fn told(owners: &str, image: &str) -> Option<serde_json::Value> {
        let engine = FakeEngine::start(|request| match request.line.starts_with("POST /images/create") {
            true => (200, r#"{"status":"Pulling from x","id":"1"}"#.into()),
            false => (404, r#"{"message":"no such image"}"#.into()),
        });
        let login = RegistryLogin { username: "me".into(), password: SecretText::new("hunter2".into()) };
        let (sender, _said) = mpsc::unbounded_channel();
        let voice = Voice::new(WorkspaceId::from_entropy([1; 13]), sender);
        let owners = Owners { image: owners, login: Some(&login) };
        let pulled = ensure(&engine.api(), image, &owners, &voice, &Span::begin().1, || true).await;
        assert!(pulled.is_err(), "the fake engine never has it");
        let asked = engine.asked();
        let pull = asked.iter().find(|request| request.line.starts_with("POST /images/create"));
        let header = pull.unwrap_or_else(|| panic!("nothing was pulled: {asked:?}")).header("x-registry-auth")?;
        let json = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE, header).unwrap();
        Some(serde_json::from_slice(&json).unwrap()).filter(|told| *told != serde_json::json!({}))
    }

    #[tokio::test]
    async fn a_login_is_told_to_the_registry_of_the_image_that_the_owner_named_and_to_no_other() {
        let own = told("198.51.100.5:5000/me/own:1", "198.51.100.5:5000/me/own:1").await.unwrap();
        assert_eq!(
            (own["username"].as_str(), own["password"].as_str(), own["serveraddress"].as_str()),
            (Some("me"), Some("hunter2"), Some("198.51.100.5:5000"))
        );
        // A repository's own image, at the same registry.
        assert!(told("198.51.100.5:5000/me/own:1", "198.51.100.5:5000/other/image").await.is_some());
        for stranger in ["198.51.100.6:5000/me/own:1", "198.51.100.5/me/own:1", "198.51.100.5:5001/me/own:1"] {
            assert_eq!(told("198.51.100.5:5000/me/own:1", stranger).await, None, "{stranger}");
        }
    }

    fn answer(id: &str, status: &str, amounts: Option<(i64, i64)>) -> CreateImageInfo {
        let detail = amounts.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: detail,
            error_detail: None,
        }
    }

    #[tokio::test]
    async fn a_pull_that_goes_on_is_given_up_when_it_is_called_off_and_when_its_time_is_over() {
        let engine = FakeEngine::start(|request| match request.line.starts_with("POST /images/create") {
            true => (0, r#"{"status":"Downloading","id":"1"}"#.into()),
            false => (404, r#"{"message":"no such image"}"#.into()),
        });
        let (sender, mut said) = mpsc::unbounded_channel();
        let voice = Voice::new(WorkspaceId::from_entropy([1; 13]), sender);
        let (api, owners) = (engine.api(), Owners { image: "198.51.100.5/a", login: None });
        let (call_off, span) = Span::begin();
        let pulls = span.wait(ensure(&api, "198.51.100.5/a", &owners, &voice, &span, || true));
        // The engine has said something of a layer: the pull goes on.
        let calls = async { said.recv().await.map(|_| call_off.call_off()) };
        let (pulled, _) = tokio::join!(pulls, calls);
        assert!(pulled.is_err());

        tokio::time::pause();
        let late =
            ensure(&api, "198.51.100.5/a", &owners, &voice, &Span::begin().1, || true).await.map(drop).unwrap_err();
        assert_eq!(late.failure, ringfence_protocol::state::WorkspaceFailure::PullFailed, "{late}");
    }

    #[tokio::test]
    async fn a_pull_that_fills_the_disk_is_stopped_before_it_has() {
        let engine = FakeEngine::start(|request| match request.line.starts_with("POST /images/create") {
            true => (0, r#"{"status":"Downloading","id":"1"}"#.into()),
            false => (404, r#"{"message":"no such image"}"#.into()),
        });
        let (sender, mut said) = mpsc::unbounded_channel();
        let voice = Voice::new(WorkspaceId::from_entropy([1; 13]), sender);
        let owners = Owners { image: "198.51.100.5/a", login: None };
        // There is room until something of it has come.
        let has_room = || engine.asked().iter().all(|request| !request.line.starts_with("POST /images/create"));
        let (api, span) = (engine.api(), Span::begin().1);
        let full = ensure(&api, "198.51.100.5/a", &owners, &voice, &span, has_room).await.map(drop).unwrap_err();
        assert_eq!(full.failure, ringfence_protocol::state::WorkspaceFailure::DiskFull, "{full}");
        let mut step = None;
        while let Ok(word) = said.try_recv() {
            step = Some(word);
        }
        assert!(matches!(step, Some(crate::workspaces::Said::Step { error: Some(_), .. })), "{step:?}");
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
