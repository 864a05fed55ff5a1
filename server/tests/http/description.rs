//! The description of the interface, beside the interface.

use serde_json::Value;

use crate::client::{book, get, raw};

/// Something that could stand in the place of each parameter.
fn filled_in(path: &str) -> String {
    ["{number}", "{block}", "{epoch}", "{index}"]
        .iter()
        .fold(path.to_owned(), |path, parameter| {
            path.replace(parameter, "0")
        })
}

#[tokio::test]
async fn every_described_method_is_served_and_no_other() {
    let book = book().await;
    let description = get(&book, "/api/openapi.json").await;
    assert_eq!(description.header("content-type"), Some("application/json"));
    let description: Value = description.json();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() > 10);
    for (path, methods) in paths {
        for method in ["get", "post", "put", "delete", "patch"] {
            let path = filled_in(path);
            let request = format!(
                "{} {path} HTTP/1.1\r\nhost: book\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                method.to_uppercase()
            );
            let answer = raw(&book, request.as_bytes()).await;
            let described = methods.get(method).is_some();
            assert_eq!(answer.status != 405, described, "{method} {path}");
            if !described {
                assert!(answer.header("allow").is_some(), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_error_word_is_described() {
    let book = book().await;
    let description = get(&book, "/api/openapi.json").await.json();
    let words = description["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
        .as_array()
        .unwrap();
    for path in ["/api/nothing", "/api/activate", "/api/keys/x"] {
        assert!(words.contains(&get(&book, path).await.json()["error"]));
    }
}
