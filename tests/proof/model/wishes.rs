//! What people and sweeps want: a request arms the object, writes and wakes it; a sweep writes and wakes it.

use ringfence::domain::alarm::ARM_DELAY;
use ringfence::domain::node::Event;
use ringfence::domain::workspace::{self, Workspace};
use ringfence::domain::{lifecycle::Moment, node::Node, together};

use super::{Action, Life, NOW, Request, RequestStep, State, Wish};

impl State {
    pub(super) fn wishes(&self, actions: &mut Vec<Action>) {
        let crashes = self.left.crashes > 0;
        if self.request.is_some() {
            actions.push(Action::RequestStep);
            if crashes {
                actions.push(Action::CrashRequest);
            }
        } else if self.lives() {
            if self.left.deletes > 0 {
                actions.push(Action::Ask(Wish::Delete));
                // Where there is one alone, its node goes with it sooner or later.
                if self.workspaces.len() > 1 {
                    actions.push(Action::Ask(Wish::DeleteWorkspace));
                }
            }
            if self.left.stops > 0
                && let Some(workspace) = self.workspaces.first()
            {
                actions.push(Action::Ask(if workspace.running { Wish::Stop } else { Wish::Start }));
            }
            if self.left.forgets > 0 && self.node.as_ref().is_some_and(Node::is_stuck) {
                actions.push(Action::Ask(Wish::Forget));
            }
        }
        if self.sweeping {
            actions.push(Action::SweepWake);
            if crashes {
                actions.push(Action::CrashSweep);
            }
        } else if self.left.spends > 0 && self.lives() {
            actions.push(Action::Spend);
        }
    }

    pub(super) fn ask(&mut self, wish: Wish) {
        match wish {
            Wish::Found => {}
            Wish::Delete | Wish::DeleteWorkspace => self.left.deletes -= 1,
            Wish::Forget => self.left.forgets -= 1,
            Wish::Stop | Wish::Start => self.left.stops -= 1,
        }
        self.request = Some(Request { wish, next: RequestStep::Arm });
    }

    /// As `app/sweep/budgets.rs` tells a node that its budget is spent.
    pub(super) fn spend(&mut self) {
        self.left.spends -= 1;
        self.sweeping = true;
        if let Some(node) = &mut self.node {
            node.budget_spent_at = Some(NOW);
        }
    }

    pub(super) fn request_step(&mut self, life: &Life) {
        let Some(request) = self.request.take() else { return };
        let next = match request.next {
            RequestStep::Arm => {
                self.object.called(NOW + ARM_DELAY);
                Some(RequestStep::Write)
            }
            RequestStep::Write => self.write(life, request.wish).then_some(RequestStep::Wake),
            RequestStep::Wake => {
                self.object.told_of_a_write();
                None
            }
        };
        self.request = next.map(|next| Request { next, ..request });
    }

    /// What a request writes. `false`: it is refused, and wakes nobody.
    fn write(&mut self, life: &Life, wish: Wish) -> bool {
        let at = life.moment();
        let Some(mut node) = self.node.clone() else {
            if wish == Wish::Found {
                let (node, workspaces) = life.requested();
                (self.node, self.workspaces) = (Some(node), workspaces);
            }
            return true;
        };
        let mut workspaces = self.workspaces.clone();
        match wish {
            Wish::Found => {}
            Wish::Delete => {
                workspaces.iter_mut().for_each(|workspace| delete(workspace, &at));
                if node.handle(Event::DeleteRequested, &at).is_err() {
                    self.broken = self.broken.or(Some("a DELETE was refused"));
                }
            }
            Wish::DeleteWorkspace => {
                if let Some(workspace) = workspaces.first_mut() {
                    delete(workspace, &at);
                }
            }
            Wish::Stop | Wish::Start => {
                let stops = wish == Wish::Stop;
                let event = if stops { workspace::Event::StopRequested } else { workspace::Event::StartRequested };
                if workspaces.first_mut().is_none_or(|workspace| workspace.handle(event, &at).is_err()) {
                    return false;
                }
            }
            Wish::Forget => {
                if node.handle(Event::ForgetRequested, &at).is_err() {
                    return false;
                }
            }
        }
        let mut beside: Vec<&mut Workspace> = workspaces.iter_mut().collect();
        together::settle(&mut node, &mut beside, &at);
        self.store(node, workspaces);
        true
    }
}

fn delete(workspace: &mut Workspace, at: &Moment<'_>) {
    let _ = workspace.handle(workspace::Event::DeleteRequested, at);
}
