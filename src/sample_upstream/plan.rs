//! What becomes of one batch, by chance: how long it takes, whether it fails as a whole, and which
//! of its jobs are answered, how and in what order.
//!
//! Pure: chance comes in as an argument. The same draws are made whatever the rates are, so with
//! one seed a higher rate hits the same jobs and some more, and one fault does not move another.

use std::time::Duration;

use super::args::Args;

/// The fate of one batch.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// How long until the batch is answered.
    pub(super) delay: Duration,
    /// What it is answered.
    pub(super) answer: Answer,
}

/// What a batch is answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The status of `--status`, no results.
    Fail,
    /// These results, in this order. A job that isn't among them is dropped.
    Results(Vec<Planned>),
}

/// One result to be written.
#[derive(Debug, PartialEq)]
pub(super) struct Planned {
    /// The job's index in its batch.
    pub(super) job: usize,
    /// Whether the job is answered with an `error` in place of its result.
    pub(super) error: bool,
}

/// Decides on a batch of `n` jobs.
pub(super) fn plan(chance: &mut fastrand::Rng, n: usize, args: &Args) -> Plan {
    let jobs = u32::try_from(n).unwrap_or(u32::MAX);
    let delay = args
        .delay
        .saturating_add(args.per_job_delay.saturating_mul(jobs))
        .saturating_add(up_to(chance, args.jitter));
    let fails = happens(chance, args.fail_rate);
    let mut results = Vec::with_capacity(n);
    for job in 0..n {
        let error = happens(chance, args.job_error_rate);
        if !happens(chance, args.drop_rate) {
            results.push(Planned { job, error });
        }
    }
    if args.shuffle && args.shape.shuffles() {
        chance.shuffle(&mut results);
    }
    let answer = if fails {
        Answer::Fail
    } else {
        Answer::Results(results)
    };
    Plan { delay, answer }
}

/// True with the probability `rate`: never for 0, always for 1.
fn happens(chance: &mut fastrand::Rng, rate: f64) -> bool {
    chance.f64() < rate
}

/// A duration from 0 to `max`, uniform, in one draw.
fn up_to(chance: &mut fastrand::Rng, max: Duration) -> Duration {
    // Can't overflow: the factor is below 1.
    max.mul_f64(chance.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 1_000;

    fn plan_with(seed: u64, args: &Args) -> Plan {
        plan(&mut fastrand::Rng::with_seed(seed), N, args)
    }

    fn results(plan: Plan) -> Vec<Planned> {
        match plan.answer {
            Answer::Results(results) => results,
            Answer::Fail => panic!("a plan with results was expected"),
        }
    }

    fn jobs(args: &Args) -> Vec<usize> {
        let results = results(plan_with(1, args)).into_iter();
        results.map(|result| result.job).collect()
    }

    #[test]
    fn without_faults_every_job_is_answered_in_order_and_at_once() {
        let plan = plan_with(1, &Args::default());
        assert_eq!(plan.delay, Duration::ZERO);
        let expected: Vec<_> = (0..N).map(|job| Planned { job, error: false }).collect();
        assert_eq!(plan.answer, Answer::Results(expected));
    }

    #[test]
    fn a_rate_of_one_hits_all() {
        let fail = Args {
            fail_rate: 1.0,
            ..Args::default()
        };
        assert_eq!(plan_with(1, &fail).answer, Answer::Fail);
        let drop = Args {
            drop_rate: 1.0,
            ..Args::default()
        };
        assert!(jobs(&drop).is_empty());
        let error = Args {
            job_error_rate: 1.0,
            ..Args::default()
        };
        assert!(
            results(plan_with(1, &error))
                .iter()
                .all(|result| result.error)
        );
    }

    #[test]
    fn a_rate_hits_about_that_many() {
        let args = Args {
            drop_rate: 0.3,
            job_error_rate: 0.2,
            ..Args::default()
        };
        let results = results(plan_with(1, &args));
        assert!(
            (650..750).contains(&results.len()),
            "{} of 1000 left",
            results.len()
        );
        let errors = results.iter().filter(|result| result.error).count();
        assert!((100..180).contains(&errors), "{errors} of about 700 failed");

        let args = Args {
            fail_rate: 0.1,
            ..Args::default()
        };
        let failed = (0..1_000).filter(|seed| plan_with(*seed, &args).answer == Answer::Fail);
        let failed = failed.count();
        assert!(
            (60..140).contains(&failed),
            "{failed} of 1000 batches failed"
        );
    }

    #[test]
    fn a_seed_repeats_and_another_seed_differs() {
        let args = Args {
            jitter: Duration::from_millis(5),
            fail_rate: 0.1,
            job_error_rate: 0.1,
            drop_rate: 0.1,
            shuffle: true,
            ..Args::default()
        };
        assert_eq!(plan_with(7, &args), plan_with(7, &args));
        assert_ne!(plan_with(7, &args), plan_with(8, &args));
    }

    #[test]
    fn shuffle_changes_the_order_and_nothing_else() {
        let mut shuffled = jobs(&Args {
            shuffle: true,
            ..Args::default()
        });
        let ordered: Vec<_> = (0..N).collect();
        assert_ne!(shuffled, ordered);
        shuffled.sort_unstable();
        assert_eq!(shuffled, ordered);
    }

    #[test]
    fn a_higher_rate_drops_the_same_jobs_and_more_and_moves_no_error() {
        let few = Args {
            drop_rate: 0.1,
            job_error_rate: 0.2,
            ..Args::default()
        };
        let many = Args {
            drop_rate: 0.4,
            ..few.clone()
        };
        let few = results(plan_with(3, &few));
        let many = results(plan_with(3, &many));
        assert!(many.len() < few.len());
        assert!(many.iter().all(|result| few.contains(result)));
    }

    #[test]
    fn the_delay_is_per_batch_and_per_job_with_jitter_on_top() {
        let args = Args {
            delay: Duration::from_millis(20),
            per_job_delay: Duration::from_micros(10),
            ..Args::default()
        };
        let base = Duration::from_millis(30);
        assert_eq!(plan_with(1, &args).delay, base);

        let args = Args {
            jitter: Duration::from_millis(4),
            ..args
        };
        let delays: Vec<_> = (0..100).map(|seed| plan_with(seed, &args).delay).collect();
        assert!(
            delays
                .iter()
                .all(|delay| (base..=base + args.jitter).contains(delay))
        );
        assert!(delays.iter().any(|delay| *delay < base + args.jitter / 4));
        assert!(
            delays
                .iter()
                .any(|delay| *delay > base + args.jitter * 3 / 4)
        );
    }

    #[test]
    fn no_delay_overflows() {
        let args = Args {
            delay: Duration::MAX,
            per_job_delay: Duration::MAX,
            jitter: Duration::MAX,
            ..Args::default()
        };
        assert_eq!(plan_with(1, &args).delay, Duration::MAX);
    }
}
