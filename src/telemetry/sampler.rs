//! Which jobs get a span.
//!
//! Source: OpenTelemetry specification, "Trace SDK", section "Built-in samplers".

use crate::trace_context::TraceContext;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a caller's own decision holds, where it sends one.
    pub heeds_callers: bool,
    /// The share of the other traces that is kept, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampler {
    /// `parentbased_always_off`: the jobs of sampled callers, and no others.
    fn default() -> Self {
        Self {
            heeds_callers: true,
            ratio: 0.0,
        }
    }
}

impl Sampler {
    /// The place of a job whose caller has this one, if it has any: sampled where the job gets
    /// a span, and else not, so that whoever comes after it decides alike.
    pub fn place(&self, caller: Option<TraceContext>) -> Option<TraceContext> {
        match caller {
            Some(caller) if self.heeds_callers => Some(match caller.is_sampled() {
                true => caller.child(),
                false => caller,
            }),
            Some(caller) => Some(match self.keeps(caller.trace_id()) {
                true => caller.child().with_sampled(true),
                false => caller.with_sampled(false),
            }),
            // Most callers of most proxies.
            None if self.ratio <= 0.0 => None,
            None => Some(TraceContext::begin()).filter(|it| self.keeps(it.trace_id())),
        }
    }

    /// By the trace's id, so that all who have a part in it decide alike.
    fn keeps(&self, trace_id: u128) -> bool {
        // The lower half of an id is the random one; the SDKs leave its lowest bit out.
        let random = (trace_id as u64) >> 1;
        self.ratio >= 1.0 || (random as f64) < self.ratio * (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn caller(flags: &str) -> TraceContext {
        TraceContext::parse(&format!("00-{TRACE}-00f067aa0ba902b7-{flags}")).unwrap()
    }

    #[test]
    fn the_table_of_samplers() {
        let sampler = |heeds_callers, ratio| Sampler {
            heeds_callers,
            ratio,
        };
        for (sampler, sampled, not, none) in [
            (Sampler::default(), true, false, false),
            (sampler(true, 1.0), true, false, true),
            (sampler(false, 1.0), true, true, true),
            (sampler(false, 0.0), false, false, false),
            // The lower half of this trace's id is 0.639 of the highest.
            (sampler(false, 0.64), true, true, true),
            (sampler(false, 0.63), false, false, true),
        ] {
            for (caller, kept) in [(caller("01"), sampled), (caller("00"), not)] {
                let place = sampler.place(Some(caller.clone())).unwrap();
                assert_eq!(place.is_sampled(), kept, "{sampler:?} {caller}");
                assert_eq!(place.trace_id(), caller.trace_id());
                let parent = kept.then(|| caller.span_id());
                assert_eq!(place.parent(), parent);
                assert_eq!(place.span_id() == caller.span_id(), !kept);
            }
            let own = (0..1_000).filter_map(|_| sampler.place(None));
            let own: Vec<_> = own.collect();
            assert!(
                own.iter()
                    .all(|it| it.is_sampled() && it.parent().is_none())
            );
            assert_eq!(!own.is_empty(), none, "{sampler:?}");
        }
    }
}
