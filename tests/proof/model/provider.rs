//! The provider: machines with unique names, lost answers, calls that arrive late, reads that are behind.

use std::time::Duration;

use ringfence::domain::node::{Call, CallError, Deletion, Event, Instance, InstanceId};
use ringfence_protocol::time::UnixMillis;

use super::{Asked, NOW, Outcome, Refusal, State};

/// How long reads may be behind, and how long a create call may be on its way: less than what is waited for them.
const LAG: Duration = Duration::from_secs(30);
const LATE: Duration = Duration::from_secs(10);

/// A machine of the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    id: u8,
    /// Reads do not show it before.
    pub(super) hidden_until: Option<UnixMillis>,
}

impl Machine {
    fn instance(&self) -> Instance {
        Instance { id: InstanceId(self.id.to_string()), ipv4: None, ipv6: None }
    }

    fn is_shown(&self) -> bool {
        self.hidden_until.is_none_or(|until| until <= NOW)
    }
}

/// What can go wrong with a call.
pub(super) const fn faults(call: &Call) -> &'static [Outcome] {
    match call {
        Call::Create => &[
            Outcome::Hidden,
            Outcome::LostBefore,
            Outcome::LostAfter,
            Outcome::Late,
            Outcome::Refused(Refusal::Capacity),
            Outcome::Refused(Refusal::RateLimited),
        ],
        Call::Find | Call::Get(_) => &[Outcome::LostAfter, Outcome::Refused(Refusal::Auth)],
        Call::Delete(_) => &[
            Outcome::LostBefore,
            Outcome::LostAfter,
            Outcome::Forgotten,
            Outcome::Refused(Refusal::Auth),
            Outcome::Refused(Refusal::RateLimited),
        ],
    }
}

impl State {
    /// A call and its answer.
    pub(super) fn call(&mut self, call: Call, outcome: Outcome) -> Event {
        match call {
            Call::Create => {
                self.asked = if self.asked == Asked::Answered { Asked::Unanswered } else { Asked::Blindly };
                let answer = match outcome {
                    Outcome::Fine => self.make(None),
                    Outcome::Hidden => self.make(Some(NOW + LAG)),
                    Outcome::LostAfter => self.make(None).and(Err(CallError::Unknown)),
                    Outcome::Late => {
                        self.late_create = Some(NOW + LATE);
                        Err(CallError::Unknown)
                    }
                    Outcome::LostBefore | Outcome::Forgotten | Outcome::Refused(_) => Err(error(outcome)),
                };
                Event::CreateAnswered(answer)
            }
            Call::Find => {
                let shown = self.machines.iter().filter(|machine| machine.is_shown()).map(Machine::instance).collect();
                Event::FindAnswered(said(outcome, shown))
            }
            Call::Get(id) => Event::GetAnswered(said(outcome, self.shown(&id))),
            Call::Delete(id) => {
                let there = self.shown(&id).is_some();
                if matches!(outcome, Outcome::Fine | Outcome::LostAfter) && there {
                    self.machines.retain(|machine| machine.instance().id != id);
                }
                let deletion = if there { Deletion::Accepted } else { Deletion::NotFound };
                Event::DeleteAnswered(id, said(outcome, deletion))
            }
        }
    }

    /// An answer is recorded: what it tells of the last create call.
    pub(super) fn learn(&mut self, answer: &Event) {
        // Made, or refused, or there already; or the provider was looked at.
        let tells = matches!(answer, Event::FindAnswered(Ok(_)))
            || matches!(answer, Event::CreateAnswered(made) if *made != Err(CallError::Unknown));
        if tells && self.asked == Asked::Unanswered {
            self.asked = Asked::Answered;
        }
    }

    /// The create call that was on its way arrives.
    pub(super) fn arrive(&mut self) {
        self.late_create = None;
        let _ = self.make(None);
    }

    fn make(&mut self, hidden_until: Option<UnixMillis>) -> Result<Instance, CallError> {
        if !self.machines.is_empty() {
            return Err(CallError::NameTaken);
        }
        let machine = Machine { id: self.next_machine, hidden_until };
        self.next_machine += 1;
        self.machines.push(machine.clone());
        Ok(machine.instance())
    }

    fn shown(&self, id: &InstanceId) -> Option<Instance> {
        let shown = self.machines.iter().filter(|machine| machine.is_shown());
        shown.map(Machine::instance).find(|instance| instance.id == *id)
    }
}

fn said<T>(outcome: Outcome, answer: T) -> Result<T, CallError> {
    match outcome {
        Outcome::Fine | Outcome::Forgotten | Outcome::Hidden => Ok(answer),
        Outcome::LostBefore | Outcome::LostAfter | Outcome::Late | Outcome::Refused(_) => Err(error(outcome)),
    }
}

const fn error(outcome: Outcome) -> CallError {
    match outcome {
        Outcome::Refused(refusal) => refusal.error(),
        Outcome::Fine
        | Outcome::Hidden
        | Outcome::LostBefore
        | Outcome::LostAfter
        | Outcome::Late
        | Outcome::Forgotten => CallError::Unknown,
    }
}
