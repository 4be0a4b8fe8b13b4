//! Jobs to one JSON array, each byte for byte.

use bytes::Bytes;

use crate::job::Job;

/// What the array adds to each job: the comma before or the bracket after it.
pub const BYTES_PER_JOB: usize = 1;

/// What the array adds once: the other bracket.
pub const BYTES_PER_ARRAY: usize = 1;

/// The body of a batch: `[job,job,…]`.
pub fn array<'a>(jobs: impl Iterator<Item = &'a Job> + Clone) -> Bytes {
    let length: usize = jobs
        .clone()
        .map(|job| job.raw().len() + BYTES_PER_JOB)
        .sum();
    let mut array = Vec::with_capacity(length + BYTES_PER_ARRAY);
    for job in jobs {
        array.push(if array.is_empty() { b'[' } else { b',' });
        array.extend_from_slice(job.raw());
    }
    if array.is_empty() {
        array.push(b'[');
    }
    array.push(b']');
    Bytes::from(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_array_has_the_announced_length() {
        let bodies = [r#"{"id":1}"#, r#"{"id": "2" , "body":[ ]}"#, r#"{"id":3}"#];
        let jobs = bodies.map(|body| Job::parse(&Bytes::from_static(body.as_bytes())).unwrap());
        for count in 0..=3 {
            let array = array(jobs[..count].iter());
            assert_eq!(array, format!("[{}]", bodies[..count].join(",")));
            let jobs: usize = jobs[..count].iter().map(|job| job.raw().len()).sum();
            let expected = jobs + count * BYTES_PER_JOB + BYTES_PER_ARRAY;
            assert_eq!(array.len(), expected.max(2));
        }
    }
}
