defmodule Surfaces.MixProject do
  use Mix.Project

  def project, do: [app: :surfaces, version: "1.0.0"]
end
