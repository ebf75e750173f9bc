defmodule Racefree.MixProject do
  use Mix.Project

  # The linter's sources as well: `mix lint.races` builds it when it is first asked for.
  @files ~w(mix.exs .formatter.exs lib guides priv/rules Cargo.toml Cargo.lock .cargo lints native) ++
           ~w(README.md ARCHITECTURE.md CHANGELOG.md LICENSE)

  def project do
    [
      app: :racefree,
      version: "0.1.0",
      elixir: "~> 1.14",
      # Last: mix must have compiled this compiler before it can run it, and nothing that is compiled needs the library.
      compilers: Mix.compilers() ++ [:racefree_native],
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      description: "Finds race conditions between Elixir processes",
      package: [licenses: ["Apache-2.0"], files: @files],
      deps: []
    ]
  end

  def application, do: []
end
