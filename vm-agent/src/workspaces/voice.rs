//! How an engine speaks while it works: steps, progress, notices and what was measured.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_protocol::ids::WorkspaceId;
use ringfence_protocol::link::Progress;
use ringfence_protocol::posture::Posture;
use tokio::sync::{Notify, mpsc};

use super::{EngineError, Saved};

/// A step that has said nothing for so long says that it is at work. The control plane gives up on a workspace of which it hears
/// nothing for 120 s (`CREATING_SECS`), and a clone or a build may be silent for longer.
const STILL_AT_WORK_EVERY: Duration = Duration::from_secs(20);

/// Something the engine says of a workspace.
#[derive(Debug)]
pub enum Said {
    /// A step of making it has ended.
    Step {
        /// Of which.
        workspace_id: WorkspaceId,
        /// What was done.
        step: String,
        /// When it began.
        started: Instant,
        /// How long it took.
        took: Duration,
        /// Why it failed.
        error: Option<String>,
    },
    /// How far a step is.
    Progress(Progress),
    /// Its save hook has ended.
    Saved {
        /// Of which.
        workspace_id: WorkspaceId,
        /// What came of it.
        saved: Saved,
    },
    /// Every hook that [`crate::node::Node`] was asked to run has ended.
    AllSaved,
    /// Something its owner should know.
    Notice {
        /// About which.
        workspace_id: WorkspaceId,
        /// What happened.
        detail: String,
    },
    /// What was measured inside it, and differs from what was said last.
    Posture {
        /// In which.
        workspace_id: WorkspaceId,
        /// What.
        posture: Posture,
    },
    /// It does not run any more, or must not.
    Broke {
        /// Which.
        workspace_id: WorkspaceId,
        /// The generation it ran for.
        spec_generation: i64,
        /// Why.
        error: EngineError,
    },
}

/// Speaks of one workspace to the link task, and never waits for it. How much is said is bounded by who speaks.
#[derive(Debug, Clone)]
pub struct Voice {
    workspace_id: WorkspaceId,
    sender: mpsc::UnboundedSender<Said>,
    /// Rung by each word of progress.
    spoke: Arc<Notify>,
}

impl Voice {
    /// Speaks of this workspace.
    pub fn new(workspace_id: WorkspaceId, sender: mpsc::UnboundedSender<Said>) -> Self {
        Self { workspace_id, sender, spoke: Arc::default() }
    }

    /// Does a step and says how it ended, and from time to time that it goes on.
    pub async fn step<T, E: Display>(
        &self,
        step: impl Into<String>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let step = step.into();
        let mut work = std::pin::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = self.spoke.notified() => {}
                () = tokio::time::sleep(STILL_AT_WORK_EVERY) => {
                    self.progress(&step, Some(format!("at work for {} s", started.elapsed().as_secs())), None, None);
                }
            }
        };
        let error = outcome.as_ref().err().map(ToString::to_string);
        let workspace_id = self.workspace_id;
        self.say(Said::Step { workspace_id, step, started, took: started.elapsed(), error });
        outcome
    }

    /// Says how far a step is.
    pub fn progress(&self, step: &str, detail: Option<String>, done_bytes: Option<u64>, total_bytes: Option<u64>) {
        let workspace_id = self.workspace_id;
        self.spoke.notify_waiters();
        self.say(Said::Progress(Progress { workspace_id, step: step.to_owned(), detail, done_bytes, total_bytes }));
    }

    /// Tells the owner something.
    pub fn notice(&self, detail: impl Into<String>) {
        self.say(Said::Notice { workspace_id: self.workspace_id, detail: detail.into() });
    }

    /// Says what came of the save hook.
    pub fn saved(&self, saved: Saved) {
        self.say(Said::Saved { workspace_id: self.workspace_id, saved });
    }

    /// Says what was measured.
    pub fn posture(&self, posture: Posture) {
        self.say(Said::Posture { workspace_id: self.workspace_id, posture });
    }

    /// Says that the workspace does not run any more.
    pub fn broke(&self, spec_generation: i64, error: EngineError) {
        self.say(Said::Broke { workspace_id: self.workspace_id, spec_generation, error });
    }

    fn say(&self, said: Said) {
        // Nobody listens any more: the agent is about to end.
        let _ = self.sender.send(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_step_says_that_it_goes_on_and_one_that_speaks_does_not() {
        let (sender, mut said) = mpsc::unbounded_channel();
        let voice = Voice::new(WorkspaceId::from_entropy([1; 13]), sender);
        let silent = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Ok::<(), EngineError>(())
        };
        voice.step("clone", silent).await.unwrap();
        let words: Vec<_> = std::iter::from_fn(|| said.try_recv().ok()).collect();
        let [Said::Progress(first), Said::Progress(_), Said::Step { error: None, .. }] = words.as_slice() else {
            panic!("{words:?}");
        };
        assert_eq!((first.step.as_str(), first.done_bytes), ("clone", None));

        let talking = async {
            for layer in 0..30 {
                tokio::time::sleep(Duration::from_secs(10)).await;
                voice.progress("pull", Some(layer.to_string()), Some(layer), Some(30));
            }
            Ok::<(), EngineError>(())
        };
        voice.step("pull", talking).await.unwrap();
        let words: Vec<_> = std::iter::from_fn(|| said.try_recv().ok()).collect();
        let with_bytes = |said: &Said| matches!(said, Said::Progress(progress) if progress.done_bytes.is_some());
        assert_eq!(words.iter().filter(|said| with_bytes(said)).count(), words.len() - 1, "{words:?}");
    }
}
