//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // Helpers are executed again and again, and half of what one costs is its start. At a fixed
    // address nothing has to be relocated: some 90 pages less to be copied each time. Stack, heap
    // and libraries keep their random addresses.
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bin=schedule=-no-pie");
    }
}
