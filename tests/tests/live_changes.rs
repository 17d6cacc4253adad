//! Traffic that a policy allows before and after notices nothing of the change.

use sg_tests::HOOKS;
use sg_tests::net::{Net, host, host6};
use sg_tests::numbered::Numbered;

/// A thousand rules with addresses and ports of their own, and one that serves.
fn policy(hook: &str) -> String {
    let mut text = format!("[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"{hook}\"\n[groups.g]\n");
    text += "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n";
    for rule in 0..1000 {
        let (high, low, port) = (rule / 256, rule % 256, 1024 + rule);
        text += &format!(
            "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = {port}\ncidr = \"20.0.{high}.{low}\"\n"
        );
    }
    text
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn changes_lose_and_reorder_nothing() {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.apply(&policy(hook)).ok();
        let streams = [host(7), host6(7)].map(|at| Numbered::start(net.peer(), &net.host, at));
        for change in 0..20 {
            for stream in &streams {
                stream.send_more(100);
            }
            let port = 20_000 + change;
            let add =
                format!("rule add g ingress --protocol udp --port {port} --cidr 192.0.2.0/24");
            let id = net.sg.run(&add).ok().stdout;
            net.sg.run(&format!("rule remove {}", id.trim())).ok();
        }
        for outcome in streams.map(Numbered::end) {
            assert!(outcome.sent >= 2000, "{hook}: {outcome:?}");
            assert_eq!((outcome.lost, outcome.late), (0, 0), "{hook}: {outcome:?}");
        }
    }
}
