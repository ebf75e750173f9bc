defmodule Racefree.MixProject do
  use Mix.Project

  def project do
    [
      app: :racefree,
      version: "0.1.0",
      elixir: "~> 1.14",
      description: "Finds race conditions between Elixir processes",
      package: [licenses: ["Apache-2.0"], files: ~w(mix.exs README.md CHANGELOG.md LICENSE)],
      deps: []
    ]
  end

  def application, do: []
end
