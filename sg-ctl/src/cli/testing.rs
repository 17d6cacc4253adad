//! What tests of listings share.

use super::context::json;
use super::listing::{Listing, Style};
use crate::host::View;
use crate::policy::file::load::{Input, load};
use crate::policy::file::source::Format;

const POLICY: &str = r#"
[prefix-lists.office]
description = "Office networks"
entries = ["203.0.113.0/24", "2001:db8:10::/48"]
[groups.web]
description = "Public web tier"
[[groups.web.ingress]]
protocol = "tcp"
port = [80, "8000-8100"]
cidr = ["0.0.0.0/0", "::/0"]
description = "HTTP"
[[groups.web.ingress]]
protocol = "icmp"
icmp-type = 8
[groups.db]
members = ["192.0.2.10"]
egress = []
[[groups.db.ingress]]
protocol = "tcp"
port = 5432
group = "web"
[groups.admin]
[[groups.admin.ingress]]
action = "deny"
priority = 10
prefix-list = "office"
[interfaces.eth0]
groups = ["web", "admin"]
[interfaces.tap7]
side = "guest"
mode = "monitor"
addresses = ["10.0.0.7"]
groups = ["db"]
"#;

/// A host's state.
pub(super) fn view() -> View {
    let input = Input::Bytes("test".into(), POLICY.as_bytes().to_vec());
    let policy = load(vec![input], Some(Format::Toml)).unwrap_or_else(|e| panic!("{e}")).policy;
    let members = [
        ("web".parse().unwrap(), vec!["198.51.100.1/32".parse().unwrap()]),
        (
            "db".parse().unwrap(),
            vec!["10.0.0.7/32".parse().unwrap(), "192.0.2.10/32".parse().unwrap()],
        ),
    ];
    View { generation: 4, policy, members: members.into() }
}

/// Compares both forms of a listing with the checked-in ones.
pub(super) fn golden(name: &str, listing: &impl Listing) {
    let text = listing.text(&Style::default());
    let json = json(listing).unwrap();
    insta::assert_snapshot!(name, format!("{text}\n{json}"));
}
