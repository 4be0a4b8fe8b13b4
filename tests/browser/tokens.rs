//! A proxy that lets in who bears a token: the page asks for it, tells a wrong one, and keeps
//! it for its tab. Pictures of it go to the folder that `PICTURES` names, if it is set.

use crate::browser::{Page, has_browser, keep};
use crate::harness::{Proxy, ScriptedUpstream, TokenFile};
use crate::value;

const TOKEN: &str = "mbt_of-the-browser";

const ASKS: &str = "!document.getElementById('token-form').hidden";

/// As somebody does who types it and presses Enter.
fn give(token: &str) -> String {
    format!(
        "(() => {{ document.getElementById('token').value = '{token}'; \
         document.getElementById('token-form').requestSubmit(); return true; }})()"
    )
}

fn wrong(words: &str) -> String {
    format!("document.getElementById('token-wrong').textContent.includes('{words}')")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_a_token_and_keeps_it_for_the_tab() {
    if !has_browser() {
        return;
    }
    let upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ops", TOKEN)]);
    let env = [("MICROBATCH_ADMIN__AUTH__TOKENS", tokens.path())];
    let quietly = ["--log-level", "info"];
    let proxy = Proxy::start(&upstream.url(), &quietly, &env).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        page.wait_for("that it asks", ASKS).await;
        page.wait_for("no figure", "document.getElementById('main').hidden")
            .await;
        page.wait_for("the field, ready", "document.activeElement.id === 'token'")
            .await;
        for width in [390, 1024] {
            keep(&format!("token-{width}.png"), &page.picture(width).await);
        }
        for (given, words) in [
            ("mbt_another", "does not let that token in"),
            ("two words", "That is no token"),
        ] {
            page.eval(&give(given)).await;
            page.wait_for(words, &wrong(words)).await;
            page.wait_for("that it asks on", ASKS).await;
            keep("token-wrong.png", &page.picture(1024).await);
        }
        page.eval(&give(TOKEN)).await;
        page.wait_for("it is live", &value("connection", "=== 'live'"))
            .await;
        page.wait_for("all of it", "!document.getElementById('main').hidden")
            .await;
        page.wait_for("no form", "document.getElementById('token-form').hidden")
            .await;
        // The same tab, read again; and nowhere but in it.
        page.eval("(window.before = true, location.reload(), true)")
            .await;
        page.wait_for(
            "it is live again without a word",
            &format!("!window.before && {}", value("connection", "=== 'live'")),
        )
        .await;
        let elsewhere =
            "localStorage.length + document.cookie.length + location.href.includes('mbt_')";
        assert_eq!(page.eval(elsewhere).await, 0);
    })
    .await;
}
