//! The JSON Schema of the policy file, for editors and for other programs.
//!
//! It says what a schema can say: keys, types, spellings and bounds. What spans several values
//! (references, equal rules, host bits) is left to `check`.

use serde_json::{Value, json};
use sg_common::tables::ETHER_TYPES;

use super::check::{GROUPS_PER_INTERFACE, INTERFACES, RULES_PER_POLICY};
use super::file::options::{
    CONNTRACK_LEAST, CONNTRACK_MOST, ETHERTYPE_NAMES, TIMEOUT_MOST, timeouts,
};
use super::model::{DEFAULT_PRIORITY, Options};
use super::serial::PASS_KINDS;
use super::text::DESCRIPTION_MAX;

/// The schema of a policy file, JSON Schema 2020-12.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of sg-ctl",
        "description": "Security groups, prefix lists and the interfaces that they protect.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "options": options(),
            "prefix-lists": named("Named sets of prefixes.", &prefix_list()),
            "groups": named("Security groups: named sets of rules.", &group()),
            "interfaces": {
                "description": "Interfaces that the filter is attached to.",
                "type": "object",
                "maxProperties": INTERFACES,
                "propertyNames": { "pattern": "^[^/:*?\\[\\]\\s]{1,15}$" },
                "additionalProperties": interface(),
            },
        },
        "$defs": {
            "name": { "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$" },
            "description": {
                "description": "For people; not part of a rule's identity.",
                "type": "string",
                "maxLength": DESCRIPTION_MAX,
                "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
            },
            "cidr": {
                "description": "A prefix without host bits, or an address, which stands for itself alone.",
                "type": "string",
                "pattern": "^[0-9A-Fa-f:.]+(/(0|[1-9][0-9]{0,2}))?$",
            },
            "address": { "type": "string", "pattern": "^[0-9A-Fa-f:.]+$" },
            "port": {
                "description": "A port, or a range such as \"8000-8100\".",
                "anyOf": [
                    { "type": "integer", "minimum": 0, "maximum": 65535 },
                    { "type": "string", "pattern": "^(0|[1-9][0-9]{0,4})(-(0|[1-9][0-9]{0,4}))?$" },
                ],
            },
            "protocol": {
                "description": "Absent = all. Numbers 6, 17, 132, 1 and 58 equal their names.",
                "anyOf": [
                    { "enum": ["tcp", "udp", "sctp", "icmp", "icmpv6", "all"] },
                    { "type": "string", "pattern": "^[1-9][0-9]{0,2}$", "not": { "enum": ["43", "44", "60"] } },
                    { "type": "integer", "minimum": 1, "maximum": 255, "not": { "enum": [43, 44, 60] } },
                ],
            },
            "rule": rule(),
        },
    })
}

fn named(description: &str, item: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "propertyNames": { "$ref": "#/$defs/name" },
        "additionalProperties": item,
    })
}

fn one_or_list(description: &str, item: &str) -> Value {
    let item = json!({ "$ref": format!("#/$defs/{item}") });
    json!({
        "description": description,
        "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }],
    })
}

fn options() -> Value {
    let mut defaults = Options::default();
    let timeouts = timeouts(&mut defaults.timeouts).map(|(key, default)| {
        let bounds = json!({
            "type": "integer", "minimum": 1, "maximum": TIMEOUT_MOST, "default": default,
        });
        (key.to_owned(), bounds)
    });
    let kinds = PASS_KINDS.map(|(kind, bit)| {
        let default = defaults.pass & bit != 0;
        (kind.to_owned(), json!({ "type": "boolean", "default": default }))
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "conntrack-max": {
                "description": "Connections that the table holds.",
                "type": "integer",
                "minimum": CONNTRACK_LEAST,
                "maximum": CONNTRACK_MOST,
                "default": defaults.conntrack_max,
            },
            "established": {
                "description": "Every packet is judged by the rules of now.",
                "const": "recheck",
                "default": "recheck",
            },
            "timeouts": {
                "description": "Idle times of connections in seconds.",
                "type": "object",
                "additionalProperties": false,
                "properties": serde_json::Map::from_iter(timeouts),
            },
            "always-pass": {
                "description": "What passes before any rule.",
                "type": "object",
                "additionalProperties": false,
                "properties": serde_json::Map::from_iter(kinds),
            },
            "ethertypes": {
                "description": "EtherTypes other than IP and ARP that pass.",
                "type": "array",
                "maxItems": ETHER_TYPES,
                "items": {
                    "anyOf": [
                        { "enum": ETHERTYPE_NAMES.map(|(name, _)| name) },
                        { "type": "string", "pattern": "^(0x[0-9A-Fa-f]{1,4}|[1-9][0-9]{3,4})$" },
                        { "type": "integer", "minimum": 0x600, "maximum": 0xffff },
                    ],
                },
                "default": ETHERTYPE_NAMES.map(|(name, _)| name),
            },
        },
    })
}

fn prefix_list() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "description": { "$ref": "#/$defs/description" },
            "entries": { "type": "array", "items": { "$ref": "#/$defs/cidr" } },
            "entries-file": {
                "description": "A file with one entry a line, relative to the policy file.",
                "type": "string",
                "minLength": 1,
            },
        },
        "anyOf": [{ "required": ["entries"] }, { "required": ["entries-file"] }],
    })
}

fn group() -> Value {
    let rules = |description: &str| {
        json!({
            "description": description,
            "type": "array",
            "maxItems": RULES_PER_POLICY,
            "items": { "$ref": "#/$defs/rule" },
        })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "description": { "$ref": "#/$defs/description" },
            "members": {
                "description": "Addresses besides those of the group's interfaces.",
                "type": "array",
                "items": { "$ref": "#/$defs/cidr" },
            },
            "ingress": rules("Rules for packets towards the protected side."),
            "egress": rules("Rules for packets away from it."),
            "default-egress": {
                "description": "Whether the group lets everything out, last of all (priority 65535). Absent: yes, unless `egress` is empty or holds an allow rule.",
                "type": "boolean",
            },
        },
    })
}

fn rule() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "action": { "enum": ["allow", "deny"], "default": "allow" },
            "priority": {
                "description": "The lowest number decides; at equal numbers deny does.",
                "type": "integer",
                "minimum": 0,
                "maximum": 65535,
                "default": DEFAULT_PRIORITY,
            },
            "protocol": { "$ref": "#/$defs/protocol" },
            "port": one_or_list("Destination ports; absent = all.", "port"),
            "icmp-type": { "type": "integer", "minimum": 0, "maximum": 255 },
            "icmp-code": { "type": "integer", "minimum": 0, "maximum": 255 },
            "cidr": one_or_list("Peers by address; no peer at all = anywhere.", "cidr"),
            "prefix-list": one_or_list("Peers by prefix list.", "name"),
            "group": one_or_list("Peers by group.", "name"),
            "description": { "$ref": "#/$defs/description" },
        },
        "dependentRequired": {
            "icmp-code": ["icmp-type"],
            "icmp-type": ["protocol"],
            "port": ["protocol"],
        },
    })
}

fn interface() -> Value {
    let guest_only =
        json!({ "properties": { "side": { "const": "guest" } }, "required": ["side"] });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "groups": {
                "type": "array",
                "maxItems": GROUPS_PER_INTERFACE,
                "uniqueItems": true,
                "items": { "$ref": "#/$defs/name" },
            },
            "mode": { "enum": ["enforce", "monitor"], "default": "enforce" },
            "side": { "enum": ["host", "guest"], "default": "host" },
            "hook": { "enum": ["auto", "xdp", "xdp-generic", "tc"], "default": "auto" },
            "addresses": {
                "description": "Addresses of the guest: what it adds to the members of its groups.",
                "type": "array",
                "items": { "$ref": "#/$defs/address" },
            },
            "guest-servers": {
                "description": "The guest may send router advertisements and play a DHCP server.",
                "type": "boolean",
                "default": false,
            },
            "when-absent": {
                "description": "The interface need not exist yet.",
                "const": "wait",
            },
        },
        "dependentSchemas": { "addresses": guest_only, "guest-servers": guest_only },
    })
}
