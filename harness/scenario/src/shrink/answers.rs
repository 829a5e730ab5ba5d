//! A case whose server says less.

use lookback_wire::rules::LookupRule;
use toml::Value;

use crate::{answers::Server, recording::Recording};

/// The case with one answer, or one key of one, less, the simplest first.
pub(super) fn simpler(case: &Recording) -> Vec<Recording> {
    let mut all: Vec<Recording> = Vec::new();
    for index in 0..case.lookup.len() {
        let mut candidate = case.clone();
        candidate.lookup.remove(index);
        all.push(candidate);
    }
    for index in 0..case.register.len() {
        let mut candidate = case.clone();
        candidate.register.remove(index);
        all.push(candidate);
    }
    for server in servers(case.server) {
        all.push(Recording {
            server,
            ..case.clone()
        });
    }
    for (index, rule) in case.lookup.iter().enumerate() {
        for rule in rules(rule) {
            let mut candidate = case.clone();
            candidate.lookup[index] = rule;
            all.push(candidate);
        }
    }
    all
}

fn servers(server: Server) -> Vec<Server> {
    let default = Server::default();
    let candidates = [
        default,
        Server {
            negotiate: default.negotiate,
            ..server
        },
        Server {
            backing: default.backing,
            ..server
        },
        Server {
            nodeid: None,
            ..server
        },
        Server {
            entry_timeout: None,
            ..server
        },
        Server {
            attr_timeout: None,
            ..server
        },
    ];
    let other = |candidate: &Server| *candidate != server;
    candidates.into_iter().filter(other).collect()
}

fn rules(rule: &LookupRule) -> Vec<LookupRule> {
    let Ok(value) = Value::try_from(rule) else {
        return Vec::new();
    };
    let read = |value: Value| value.try_into().ok();
    values(&value).into_iter().filter_map(read).collect()
}

/// The value with one part less, or one number smaller.
fn values(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Table(table) => {
            for key in table.keys() {
                let mut rest = table.clone();
                rest.remove(key);
                all.push(Value::Table(rest));
            }
            for (key, part) in table {
                for part in values(part) {
                    let mut simpler = table.clone();
                    simpler.insert(key.clone(), part);
                    all.push(Value::Table(simpler));
                }
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                let mut rest = items.clone();
                rest.remove(index);
                all.push(Value::Array(rest));
            }
            for (index, item) in items.iter().enumerate() {
                for item in values(item) {
                    let mut simpler = items.clone();
                    simpler[index] = item;
                    all.push(Value::Array(simpler));
                }
            }
        }
        Value::Integer(number) => {
            let smaller = [0, 1, number / 2].into_iter().filter(|n| n < number);
            all.extend(smaller.map(Value::Integer));
        }
        _ => {}
    }
    all
}
