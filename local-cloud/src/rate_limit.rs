//! Hetzner's limit: a bucket of requests for each project that refills evenly over the hour.

use crate::state::ProjectId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct RateLimiter {
    per_hour: u32,
    /// One for each known token, so bounded.
    buckets: HashMap<ProjectId, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// What the `RateLimit-*` headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) allowed: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until the bucket is full again.
    pub(crate) full_in: Duration,
}

impl RateLimiter {
    pub(crate) fn new(per_hour: u32) -> Self {
        Self { per_hour: per_hour.max(1), buckets: HashMap::new() }
    }

    pub(crate) fn take(&mut self, project: &ProjectId, now: Instant) -> RateLimit {
        let limit = f64::from(self.per_hour);
        let per_second = limit / HOUR.as_secs_f64();
        let bucket = self.buckets.entry(project.clone()).or_insert(Bucket { left: limit, at: now });
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * per_second).min(limit);
        bucket.at = now;
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= 1.0;
        }
        RateLimit {
            allowed,
            limit: self.per_hour,
            remaining: bucket.left as u32,
            full_in: Duration::from_secs_f64((limit - bucket.left) / per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_refuses_and_refills_evenly() {
        let (mut limiter, project, now) = (RateLimiter::new(3600), ProjectId::of_token("t"), Instant::now());
        assert_eq!((0..4000).filter(|_| limiter.take(&project, now).allowed).count(), 3600);
        let later = now + Duration::from_secs(2);
        assert_eq!((0..10).filter(|_| limiter.take(&project, later).allowed).count(), 2);
        assert!(limiter.take(&ProjectId::of_token("other"), now).allowed);
    }
}
