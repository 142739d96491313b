//! TLS as the URL asks for it, and a password that nothing says.

use mrpf_cloud::Postgres;
use mrpf_ports::StoreError;
use mrpf_postgres::{Login, PgStore};

/// Whether the server sees connections of `user` encrypted; they are open as long as `_store` is.
fn is_encrypted(database: &mrpf_cloud::Database<'_>) -> String {
    database.sql(
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE usename = 'owner' AND datname = current_database()",
    )
}

#[test]
fn each_mode_trusts_whom_it_names() {
    let Some(server) = Postgres::shared() else { return };
    let (root, other) = (server.root_certificate(), server.other_certificate());
    let (root, other) = (root.display(), other.display());
    // The certificate is for localhost and 127.0.0.1, so by the name of ::1 it is nobody's.
    for (query, encrypted) in [
        ("sslmode=disable".to_owned(), "f"),
        ("sslmode=prefer".to_owned(), "t"),
        ("sslmode=require".to_owned(), "t"),
        (format!("sslmode=require&sslrootcert={root}"), "t"),
        (format!("sslmode=verify-ca&sslrootcert={root}"), "t"),
        (format!("sslmode=verify-full&sslrootcert={root}"), "t"),
    ] {
        let database = server.database();
        let url = format!("{}?{query}", database.url());
        PgStore::migrate(&url).unwrap();
        let store = PgStore::open(&url).unwrap();
        store.platform_id().unwrap();
        assert_eq!(is_encrypted(&database), encrypted, "{query}");
    }
    let database = server.database();
    PgStore::migrate(&database.url()).unwrap();
    let url = database.url();
    for (query, why) in [
        (format!("sslmode=require&sslrootcert={other}"), "UnknownIssuer"),
        (format!("sslmode=verify-ca&sslrootcert={other}"), "UnknownIssuer"),
        (format!("sslmode=verify-full&sslrootcert={other}"), "UnknownIssuer"),
        ("sslmode=verify-full&sslrootcert=/nowhere/root.pem".to_owned(), "/nowhere/root.pem"),
        ("sslmode=verify-full&sslrootcert=/etc/hostname".to_owned(), "no certificate"),
    ] {
        let error = PgStore::open(&format!("{url}?{query}")).unwrap_err();
        assert!(error.to_string().contains(why), "{query}: {error}");
    }
    // By another name of the same address.
    let elsewhere = url.replace("127.0.0.1", "127.0.0.1.nip.invalid").to_string();
    let hosts = |mode: &str| format!("{elsewhere}?hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={root}");
    PgStore::open(&hosts("verify-ca")).unwrap();
    let error = PgStore::open(&hosts("verify-full")).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn no_error_says_the_password() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database();
    let url = database.url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 30, "{password}");
    let port = server.port().to_string();
    for wrong in [
        url.replace("owner:", "nobody:"),
        url.replace(password, &format!("{password}x")),
        url.replace("/test", "/no_test"),
        url.replace(&port, "1"),
        url.replace("127.0.0.1", "no-host.invalid"),
        format!("{url}?no_option={password}"),
        url.clone(),
    ] {
        let error = PgStore::open(&wrong).unwrap_err();
        let findings = PgStore::check(&wrong, Login::BareMetal);
        let said = format!("{error} {error:?} {findings:?}");
        assert!(!said.contains(password), "{said}");
        assert!(!matches!(error, StoreError::Corrupt(_)), "{error}");
    }
    PgStore::migrate(&url).unwrap();
    let store = PgStore::open(&url).unwrap();
    assert!(!format!("{store:?}").contains(password));
}
