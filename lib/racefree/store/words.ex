defmodule Racefree.Store.Words do
  # What the store's reasons mean, for people: one list for exceptions and for `mix racefree.store`.
  @moduledoc false

  @doc "A reason of the store in plain words, or `nil` for one that is none of its own."
  @spec reason(term) :: String.t() | nil
  def reason({:corrupt, file, offset, kind}),
    do: "#{file} is damaged at byte #{offset}: #{defect(kind)}"

  def reason({:missing, file}), do: "#{file} is missing"
  def reason({:foreign, file}), do: "#{file} belongs to another store"

  def reason({:unknown_version, file, version}) do
    "#{file} has format version #{version}, which this release of Racefree does not know; the release that wrote it does"
  end

  def reason(_other), do: nil

  @doc "What is wrong with a damaged place."
  @spec defect(atom) :: String.t()
  def defect(:checksum), do: "its checksum does not fit"
  def defect(:truncated), do: "it ends too early"
  def defect(:header), do: "it does not begin as a file of a store"
  def defect(:meaning), do: "its checksum fits, and it makes no sense"
end
