//! The client against servers and proxies with faults of their own, on loopback.

use super::*;

#[test]
fn plain_http_is_for_near_hosts_only() {
    for url in [
        "http://127.0.0.1:8080",
        "http://localhost/",
        "http://192.168.1.2",
        "http://[::1]:1",
        "http://abc.onion",
        "https://book.example.org/sub",
    ] {
        assert!(read_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://book.example.org",
        "http://93.184.216.34",
        "http://localhost.example.org",
    ] {
        assert_eq!(read_url(url), Err(BookError::Insecure(url.to_owned())));
    }
}

#[test]
fn what_is_no_url_of_a_book_is_refused() {
    for url in [
        "",
        "book.example.org",
        "ftp://a",
        "https://",
        "https://user:pw@a",
        "https://a?b",
        "file:///etc/passwd",
    ] {
        assert_eq!(
            read_url(url),
            Err(BookError::BadUrl(url.to_owned())),
            "{url}"
        );
    }
}

#[test]
fn paths_are_put_after_the_url_whether_or_not_it_ends_in_a_slash() {
    for url in ["https://a.example/x", "https://a.example/x/"] {
        let client = BookClient::new(url, &Outbound::direct()).unwrap();
        let request = client.request(Method::GET, "/api/activate");
        let request = finished(request, Bytes::new());
        assert_eq!(request.uri(), "/x/api/activate");
        assert_eq!(request.headers()[HOST], "a.example");
    }
}
