//! What a server counts, for `Prometheus`
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Shared, respond::Refusal};
use crate::kms::api::KeyState;

/// Upper bounds in seconds: from what a symmetric operation takes to what making an RSA key may.
const BUCKETS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    operation: &'static str,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

/// The counters of one server.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Result, Counter>,
    latency: Family<OfOperation, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    keys: Family<OfState, Gauge>,
    audit_position: Gauge<u64, AtomicU64>,
    sealed: Gauge,
    uptime: Gauge<f64, AtomicU64>,
}

/// One of what a gauge counts, as long as it is there.
pub(super) struct Counted(Gauge);

impl Counted {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("kmsfs_kms"),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            keys: Family::default(),
            audit_position: Gauge::default(),
            sealed: Gauge::default(),
            uptime: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests answered, by operation and by ok or the error's name",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests being worked on",
            self.in_flight.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("keys", "KMS keys, by state", self.keys.clone());
        registry.register(
            "audit_position",
            "Sequence number of the audit log's last record",
            self.audit_position.clone(),
        );
        registry.register("sealed", "1 while the home is sealed", self.sealed.clone());
        registry.register_with_unit(
            "uptime",
            "Time since the service was started",
            Unit::Seconds,
            self.uptime.clone(),
        );
    }

    /// A request that is being worked on.
    pub(super) fn begin(&self) -> Counted {
        Counted::of(&self.in_flight)
    }

    /// A connection that is open.
    pub(super) fn connected(&self) -> Counted {
        Counted::of(&self.connections)
    }

    /// A request was answered. Names that are no operation are not told apart: whoever sends them
    /// could otherwise make up counters without end.
    pub(super) fn end(
        &self,
        operation: Option<&'static str>,
        refused: Option<&Refusal>,
        took: Duration,
    ) {
        let operation = operation.unwrap_or("unknown");
        let result = refused.map_or_else(|| "ok".to_owned(), |refusal| refusal.code.to_string());
        self.requests
            .get_or_create(&Result { operation, result })
            .inc();
        self.latency
            .get_or_create(&OfOperation { operation })
            .observe(took.as_secs_f64());
    }
}

impl Shared {
    /// All of it, as `/metrics` shows it.
    pub(super) fn exposition(&self) -> String {
        let metrics = &self.metrics;
        metrics.uptime.set(self.started.elapsed().as_secs_f64());
        let service = self.service.get();
        metrics.sealed.set(i64::from(service.is_none()));
        if let Some(service) = service {
            let census = service.census();
            for state in KeyState::ALL {
                let count = census.keys.get(state).copied().unwrap_or(0);
                let state = state.as_str();
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                metrics.keys.get_or_create(&OfState { state }).set(count);
            }
            metrics.audit_position.set(census.audit_position);
        }
        let mut text = String::new();
        encode(&mut text, &metrics.registry).expect("writing to a String does not fail");
        text
    }
}
