//! Jobs to one JSON array, each byte for byte.

use bytes::{BufMut, Bytes, BytesMut};

use crate::job::Job;

/// What the array adds to each job: the comma before or the bracket after it.
pub const BYTES_PER_JOB: usize = 1;

/// What the array adds once: the other bracket.
pub const BYTES_PER_ARRAY: usize = 1;

/// Jobs below this size, in bytes, are copied next to each other: there a copy costs
/// less than a slice of its own, in the vectored write and in what keeps track of it.
const COPIED_BELOW: usize = 2_048;

/// The body of a batch: `[job,job,…]`, in pieces. Large jobs are not copied.
pub fn array<'a>(jobs: impl Iterator<Item = &'a Job> + Clone) -> Vec<Bytes> {
    let copied = |job: &Job| job.raw().len() < COPIED_BELOW;
    let room = jobs.clone().fold(BYTES_PER_ARRAY, |room, job| {
        let copy = if copied(job) { job.raw().len() } else { 0 };
        room + BYTES_PER_JOB + copy
    });
    let mut copy = BytesMut::with_capacity(room.max(EMPTY.len()));
    let mut pieces = Vec::new();
    let mut before = b'[';
    for job in jobs {
        copy.put_u8(before);
        before = b',';
        if copied(job) {
            copy.extend_from_slice(job.raw());
        } else {
            pieces.push(copy.split().freeze());
            pieces.push(job.raw().clone());
        }
    }
    match before {
        b'[' => copy.extend_from_slice(EMPTY),
        _ => copy.put_u8(b']'),
    }
    pieces.push(copy.freeze());
    pieces
}

const EMPTY: &[u8] = b"[]";

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: usize, size: usize) -> Job {
        let body = format!(r#"{{"id":{id},"body":"{}"}}"#, "x".repeat(size));
        Job::parse(Bytes::from(body), crate::json::MAX_DEPTH).unwrap()
    }

    #[test]
    fn the_array_has_the_announced_length() {
        let sizes = [0, 3 * COPIED_BELOW, 10, 20, COPIED_BELOW, 2 * COPIED_BELOW];
        let jobs: Vec<_> = sizes
            .into_iter()
            .enumerate()
            .map(|(id, size)| job(id, size))
            .collect();
        for from in 0..jobs.len() {
            for to in from..=jobs.len() {
                let jobs = &jobs[from..to];
                let array = array(jobs.iter()).concat();
                let raw: Vec<&str> = jobs
                    .iter()
                    .map(|it| str::from_utf8(it.raw()).unwrap())
                    .collect();
                assert_eq!(
                    str::from_utf8(&array).unwrap(),
                    format!("[{}]", raw.join(","))
                );
                let length: usize = jobs.iter().map(|job| job.raw().len()).sum();
                let expected = length + jobs.len() * BYTES_PER_JOB + BYTES_PER_ARRAY;
                assert_eq!(array.len(), expected.max(2));
            }
        }
    }

    #[test]
    fn large_jobs_are_not_copied_and_small_ones_share_a_piece() {
        let jobs = [job(1, 5), job(2, COPIED_BELOW), job(3, 5), job(4, 5)];
        let pieces = array(jobs.iter());
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), jobs[1].raw().as_ptr());
        // Of one allocation, made at its final size.
        let gap = pieces[2].as_ptr() as usize - pieces[0].as_ptr() as usize;
        assert_eq!(gap, pieces[0].len());
    }
}
