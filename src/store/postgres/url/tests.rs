//! Addresses as people have them, and what is made of them.

use rstest::rstest;

use super::*;

/// User, password, hosts and database of what sqlx is given.
fn read(text: &str) -> Result<Vec<String>, String> {
    parse(text).map(|address| address.urls()).map_err(|error| error.to_string())
}

const CONTROL: &str = "postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls";

#[rstest]
#[case::control(CONTROL)]
#[case::postgresql("postgresql://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls")]
#[case::capitals("POSTGRES://owner:p%40ss%2fw%3ao%23r%20d%25@127.0.0.1:18110/calls")]
#[case::at_signs_and_colons("postgres://owner:p@ss%2Fw:o%23r d%@127.0.0.1:18110/calls")]
#[case::sqlalchemy("postgresql+asyncpg://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls")]
#[case::psycopg("postgresql+psycopg2://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls")]
#[case::jdbc("jdbc:postgresql://127.0.0.1:18110/calls?user=owner&password=p%40ss%2Fw%3Ao%23r%20d%25")]
#[case::line_end("postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls\r\n")]
#[case::quotes("\"postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls\"\n")]
#[case::single_quotes("'postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls'")]
#[case::byte_order_mark("\u{feff}postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls")]
#[case::a_line_of_a_file(
    "export DATABASE_URL='postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls'"
)]
#[case::a_command("psql 'postgresql://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls'")]
#[case::libpq("host=127.0.0.1 port=18110 user=owner password='p@ss/w:o#r d%' dbname=calls")]
#[case::libpq_escaped("port = 18110 host=127.0.0.1 user=owner password=p@ss/w:o#r\\ d% dbname=calls")]
#[case::dotnet("Host=127.0.0.1;Port=18110;Username=owner;Password=p@ss/w:o#r d%;Database=calls")]
#[case::dotnet_server(
    "Server=127.0.0.1;Port=18110;User Id=owner;Password=\"p@ss/w:o#r d%\";Database=calls;Pooling=true;"
)]
#[case::supabase(
    "postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls?pgbouncer=true&connection_limit=1"
)]
#[case::prisma(
    "postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls?schema=public&sslaccept=accept_invalid_certs"
)]
#[case::libpq_parameters(
    "postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls?connect_timeout=10&keepalives=1"
)]
#[case::slash_at_the_end("postgres://owner:p%40ss%2Fw%3Ao%23r%20d%25@127.0.0.1:18110/calls/")]
fn an_address_with_one_meaning_is_read(#[case] text: &str) {
    assert_eq!(read(text).unwrap(), [CONTROL]);
}

#[rstest]
#[case("require", "require")]
#[case("REQUIRE", "require")]
#[case("required", "require")]
#[case("true", "require")]
#[case("no-verify", "require")]
#[case("verify_full", "verify-full")]
#[case("VerifyFull", "verify-full")]
#[case("VERIFY-CA", "verify-ca")]
#[case("Prefer", "prefer")]
#[case("disabled", "disable")]
#[case("false", "disable")]
fn every_spelling_of_sslmode_is_read(#[case] spelling: &str, #[case] mode: &str) {
    let urls = read(&format!("postgres://u@h/d?sslmode={spelling}")).unwrap();
    assert_eq!(urls, [format!("postgres://u@h/d?sslmode={}", mode.replace('-', "%2D"))]);
}

#[rstest]
#[case::two_hosts("postgres://u:p@a:1,b:2/d", &["postgres://u:p@a:1/d", "postgres://u:p@b:2/d"])]
#[case::hosts_without_ports("postgres://u@a,b/d", &["postgres://u@a/d", "postgres://u@b/d"])]
#[case::address("postgres://u@[::1]:5433/d", &["postgres://u@[::1]:5433/d"])]
#[case::socket("postgres://u:p@%2Fvar%2Frun/d?port=5433", &["postgres://u:p@localhost:5433/d?host=%2Fvar%2Frun"])]
#[case::socket_as_parameter(
    "postgres:///d?host=/tmp&port=5433&user=u",
    &["postgres://u@localhost:5433/d?host=%2Ftmp"]
)]
#[case::listed("host=a,b port=1,2 user=u", &["postgres://u@a:1/", "postgres://u@b:2/"])]
#[case::neon(
    "postgresql://u:p@ep-x.neon.tech/d?sslmode=require&channel_binding=require",
    &["postgres://u:p@ep-x.neon.tech/d?sslmode=require"]
)]
#[case::tls_of_jdbc("jdbc:postgresql://h/d?user=u&ssl=true", &["postgres://u@h/d?sslmode=require"])]
#[case::authority(
    "postgres://u@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    &["postgres://u@h/d?sslmode=verify%2Dfull&sslrootcert=%2Fetc%2Fca%2Epem"]
)]
#[case::authorities_of_the_system("postgres://u@h/d?sslrootcert=system", &["postgres://u@h/d?sslmode=verify%2Dfull"])]
#[case::mail_as_user("postgres:///d?user=me@x.org&host=h", &["postgres://me%40x%2Eorg@h/d"])]
fn hosts_and_parameters_are_read(#[case] text: &str, #[case] urls: &[&str]) {
    assert_eq!(read(text).unwrap(), urls);
}

#[rstest]
#[case::slash_and_hash("postgres://owner:p@hunter/w:o#r d%@127.0.0.1:1/calls", "%2F")]
#[case::slash("postgres://owner:hunter/2@db/calls", "%2F")]
#[case::question_mark("postgres://owner:hunter?2@db/calls", "%3F")]
#[case::question_mark_and_equals("postgres://owner:hunter?a=b@db/calls", "%3F")]
#[case::hash("postgres://owner:hunter#2@db/calls", "%23")]
#[case::digits_first("postgres://owner:12?hunter@db/calls", "%3F")]
#[case::placeholder("postgresql://owner:[YOUR-PASSWORD]@db/calls", "placeholder")]
#[case::stars("postgresql://hunter:********@db/calls", "placeholder")]
#[case::port("postgres://u:hunter@h:port/d", "port")]
#[case::port_too_large("postgres://u:hunter@h:99999/d", "port")]
#[case::mysql("mysql://u:hunter@h/d", "does not begin with postgres://")]
#[case::web("https://u:hunter@h/d", "does not begin with postgres://")]
#[case::words("hunter", "does not begin with postgres://")]
#[case::empty_pairs("a=hunter", "does not begin with postgres://")]
#[case::open_quote("host=h password='hunter", "quote")]
#[case::sslmode("postgres://u:hunter@h/d?sslmode=hunter", "sslmode")]
#[case::schema("postgres://u:hunter@h/d?schema=hunter", "search_path")]
#[case::two_lines("postgres://u:hunter@h/d\npostgres://u:hunter@h/d", "line")]
#[case::not_utf8("postgres://u:hunter%ff@h/d", "UTF-8")]
fn an_address_with_no_or_two_meanings_is_refused_without_telling_it(#[case] text: &str, #[case] words: &str) {
    let error = read(text).unwrap_err();
    assert!(error.contains(words) && !error.contains("hunter"), "{error}");
}

#[test]
fn parameters_that_mean_nothing_are_named() {
    let address = parse("postgres://u@h/d?sslmod=require&keepalives=1").unwrap();
    assert_eq!(address.unknown, ["sslmod"]);
}
