//! What reaches the upstream, held against what is known of it.

use super::Ledger;
use super::fault::Fault;
use super::item::{Deleted, id};
use super::state::Call;
use crate::upstream::Plan;

impl Ledger {
    /// A batch with these items is at the upstream, whole or in part.
    pub fn reached(&self, ids: &[usize], plan: Plan) -> u64 {
        let mut state = self.state();
        let call = state.calls.len() as u64;
        state.calls.push(Call { plan });
        state.count("calls");
        state.count(&format!("calls: {}", plan.name()));
        for &item in ids {
            if item >= state.items.len() {
                state
                    .faults
                    .push((Fault::Sent, format!("{} is nobody's", id(item))));
                continue;
            }
            state.count("items at the upstream");
            state.tell(self.started, item, format!("call {call}: {}", plan.name()));
            let life = state.life;
            let it = &mut state.items[item];
            it.calls.push(call);
            let (often, deleted) = (it.calls.len(), it.deleted);
            let answered = it.answer.is_some();
            if often > 1 {
                state.count("items at the upstream again");
            }
            if often > self.terms.most_calls {
                let why = format!("it is at the upstream for the {often}th time");
                state.fault(Fault::SentTooOften, item, &why);
            }
            if !self.terms.single {
                continue;
            }
            if let Deleted::Certainly { life: then, .. } = deleted
                && then < life
            {
                state.fault(Fault::Sent, item, "it was deleted by an earlier process");
            }
            if answered {
                state.fault(Fault::Sent, item, "its answer was seen before");
            }
        }
        call
    }
}
