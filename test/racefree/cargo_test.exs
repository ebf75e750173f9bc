defmodule Racefree.CargoTest do
  @moduledoc "What is read out of cargo's words."

  use ExUnit.Case, async: true

  alias Racefree.Cargo

  @root "/checkout"

  test "reads the place, the code and the whole text of an error" do
    text = """
    error[E0308]: mismatched types
      --> native/racefree_nif/src/lib.rs:10:5
       |
     9 | fn seven() -> u8 {
       |               -- expected `u8` because of return type
    10 |     "7"
       |     ^^^ expected `u8`, found `&str`
    """

    said = "   Compiling racefree_nif v0.1.0 (/checkout/native/racefree_nif)\n" <> text <> "\n"
    assert [error] = Cargo.diagnostics(said, @root)

    assert %{
             severity: :error,
             details: "E0308",
             position: {10, 5},
             file: "/checkout/native/racefree_nif/src/lib.rs"
           } = error

    assert error.message == String.trim_trailing(text)
  end

  test "takes colours and links out" do
    said =
      "\e[0m\e[1m\e[33mwarning\e[0m\e[0m\e[1m: unused import\e[0m\n" <>
        "\e[0m  \e[0m\e[0m\e[1m\e[38;5;12m--> \e[0m\e[0m\e]8;;file:///a\e\\src/a.rs\e]8;;\e\\:1:5\e[0m\n\n"

    assert [%{severity: :warning, position: {1, 5}, file: "/checkout/src/a.rs"} = warning] =
             Cargo.diagnostics(said, @root)

    assert warning.message == "warning: unused import\n  --> src/a.rs:1:5"
  end

  test "keeps messages apart, and leaves out those that only count them" do
    said = """
    warning: one
     --> a.rs:1:1

    warning: two
     --> b.rs:2:2

    warning: `racefree_core` (lib) generated 2 warnings (run `cargo fix --lib -p racefree_core` to apply 1 suggestion)
       Compiling racefree_nif v0.1.0 (/checkout/native/racefree_nif)
    error: three
     --> c.rs:3:3

    error: aborting due to 1 previous error; 1 warning emitted
    error: could not compile `racefree_nif` (lib) due to 1 previous error
    warning: build failed, waiting for other jobs to finish...
    """

    assert for(
             %{position: {line, _}, severity: severity} <- Cargo.diagnostics(said, @root),
             do: {line, severity}
           ) ==
             [{1, :warning}, {2, :warning}, {3, :error}]
  end

  test "keeps an error without a place" do
    said = """
    error: failed to get `rustler` as a dependency of package `racefree_nif v0.1.0`

    Caused by:
      attempting to make an HTTP request, but --offline was specified
    """

    assert [%{severity: :error, file: nil, position: 0, message: "error: failed to get" <> _}] =
             Cargo.diagnostics(said, @root)
  end

  test "finds nothing in the words of a build without complaints" do
    assert Cargo.diagnostics(
             "   Compiling a v0.1.0\n    Finished `release` profile [optimized] target(s) in 0.05s\n",
             @root
           ) == []
  end
end
