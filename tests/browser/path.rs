//! The console below a path of a proxy, as a person uses it: nothing of it asks for what is beside
//! that path, with scripts and without.

use crate::browser::site::{self, LONG, TICKS, WRITES};
use crate::browser::{Look, Page};
use crate::nginx::Nginx;
use serde_json::json;

/// A page that complains of each request that leaves `/schedule/`.
fn below(nginx: &Nginx, look: &Look) -> Page {
    Page::new(&format!("http://{}/schedule", nginx.address), look)
}

fn path(page: &Page) -> String {
    page.eval("location.pathname").as_str().unwrap().to_owned()
}

#[test]
fn all_of_the_console_works_below_a_path() {
    let (_site, _database, daemon) = site::sample();
    let nginx = Nginx::below_a_path(daemon.address);
    let page = below(&nginx, &Look::default());
    page.go("/");
    // Style, script and events are there.
    assert_eq!(page.eval("getComputedStyle(document.querySelector('.skip')).position"), "absolute");
    page.wait("live events", "document.querySelector('#live').className === 'live on'");
    page.eval("window.seen = true");
    page.click(&format!("#j{LONG} button[value=start]"));
    page.wait("the row to follow", &format!("!!document.querySelector('#j{LONG} .st.running')"));
    page.click("#q");
    page.type_text("Writes");
    page.wait("the list to follow", "document.querySelectorAll('#rows tr').length === 1");
    let to = page.eval("location.pathname + location.search");
    assert_eq!(to, "/schedule/?q=Writes&per_page=100");
    page.click(".reset");
    page.wait("all rows", "document.querySelectorAll('#rows tr').length === 5");
    page.leads_on(|| page.click(&format!("#j{WRITES} .name a")));
    assert_eq!(path(&page), format!("/schedule/jobs/{WRITES}"));
    // Its buttons, events and followed output.
    page.click("form.act button[value=start]");
    page.wait("lines", "/line 3/.test(document.querySelector('#out').innerText)");
    page.click("form.act button[value=stop]");
    page.wait("the job to stop", "!!document.querySelector('#job .st.stopped')");
    let icon = "fetch(document.querySelector('link[rel=icon]').href).then(it => it.status)";
    assert_eq!(page.eval(icon), 200);
    page.leads_on(|| page.click(".top nav a[href$=log]"));
    page.wait("the log", "/start job=/.test(document.querySelector('#out').innerText)");
    page.click("[data-choose=dark]");
    page.leads_on(|| page.click(".look a[lang=zh]"));
    assert_eq!(path(&page), "/schedule/log");
    page.leads_on(|| page.click(".brand"));
    assert_eq!(path(&page), "/schedule/");
    let kept = "document.documentElement.dataset.theme + document.documentElement.lang";
    assert_eq!(page.eval(kept), "darkzh-CN");
    // What is chosen here is nothing to the other applications of the host.
    let cookies = page.call("Network.getCookies", json!({}));
    let cookies = cookies["cookies"].as_array().unwrap();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert!(cookies.iter().all(|cookie| cookie["path"] == "/schedule/"), "{cookies:?}");
    assert!(page.requests().len() > 15);
}

/// Why nothing is live is known to who may have to mend it.
#[test]
fn what_a_proxy_does_to_the_host_is_told_on_the_page() {
    let (_site, _database, daemon) = site::sample();
    let nginx = Nginx::of_another_host(daemon.address);
    // Before it has run there is no output that a reason could stand for.
    daemon.wait_job(TICKS, "run", |job| !job["last_run"].is_null());
    for (language, refused) in [("en", "Refused: "), ("zh", "被拒绝:")] {
        let mut page = Page::new(&format!("http://{}", nginx.address), &Look::default());
        page.expect("403");
        page.go(&format!("/?lang={language}"));
        let said = format!(
            "(it => it.startsWith('{refused}') && it.includes('is not the host that is asked \
             (localhost)') && it.includes('proxy_set_header Host $http_host'))\
             (document.querySelector('#message').innerText)"
        );
        page.wait("the reason", &said);
        page.go(&format!("/jobs/{TICKS}?lang={language}"));
        let shown = "document.querySelector('#out').innerText.includes('$http_host')";
        page.wait("the reason in place of the output", shown);
    }
}

#[test]
fn forms_and_links_alone_stay_below_the_path() {
    let (_site, _database, daemon) = site::sample();
    let nginx = Nginx::below_a_path(daemon.address);
    let mut page = below(&nginx, &Look { scripts: false, ..Look::default() });
    page.expect("404");
    page.go("/?q=t");
    page.leads_on(|| page.click(&format!("#j{LONG} button[value=start]")));
    assert_eq!(page.eval("location.pathname + location.search"), "/schedule/?q=t");
    daemon.wait_job(LONG, "running", |job| job["running"] == 1);
    page.leads_on(|| page.click(&format!("#j{LONG} .name a")));
    page.leads_on(|| page.click("form.act button[value=stop]"));
    assert_eq!(path(&page), format!("/schedule/jobs/{LONG}"));
    daemon.wait_job(LONG, "stopped", |job| job["running"] == 0);
    // A page that is not there is as deep as it was asked for.
    page.go("/a/b/c");
    assert_eq!(page.text(".error .status"), "404");
    page.leads_on(|| page.click(".error .button"));
    assert_eq!(path(&page), "/schedule/");
    // The original's addresses.
    page.go(&format!("/stderr.php?id={TICKS}&type=1"));
    page.leads_on(|| page.click("button[value=clear_output]"));
    assert_eq!(path(&page), "/schedule/stderr.php");
    page.leads_on(|| page.click("a"));
    assert_eq!(path(&page), "/schedule/");
    page.go("/index.html?tagid=1");
    assert_eq!(page.eval("location.pathname + location.search"), "/schedule/?tagid=1");
    // Plain text names no icon, so a browser asks the host for its own.
    page.expect("favicon.ico");
    page.go(&format!("/jobs/{LONG}"));
    page.leads_on(|| page.click(".tools button.plainly"));
    // That of the run that is chosen.
    let run = daemon.runs(LONG)[0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(path(&page), format!("/schedule/api/v1/runs/{run}/output"));
}
