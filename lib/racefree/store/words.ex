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

  def reason({:storage_failed, {step, cause}}), do: "#{step(step)}: #{cause(cause)}"

  def reason({:option_out_of_bounds, name, value, {kind, bound, from}}) do
    kind = if kind == :at_least, do: "at least", else: "at most"
    "option #{inspect(name)} is #{value}, and must be #{kind} #{bound}#{because(name, from)}"
  end

  def reason(:store_down), do: "the store is not running"
  def reason(:poisoned), do: "the store has stopped: a panic was caught in it"
  def reason({:poisoned, _place}), do: reason(:poisoned)
  def reason(:drained), do: "the store is drained or being drained, and takes nothing more"
  def reason(:read_only), do: "the store is open for reading only"
  def reason(:locked), do: "another store holds the directory"
  def reason(:not_found), do: "there is no such log"
  def reason(:removed), do: "the log is removed or being removed"
  def reason(:stale), do: "the log is not being removed, or its removal is finished"

  def reason({:trimmed, lowest}),
    do:
      "records were asked for that are trimmed: #{inspect(lowest)} is the lowest offset to read after"

  def reason(:key_too_large), do: "the key has more than 4096 bytes as a binary"
  def reason(:fenced), do: "another writer holds the log"
  def reason({:busy, _ref}), do: "too much waits to be written"
  def reason(:transaction_too_large), do: "the transaction exceeds :transaction_bytes_max"

  def reason({:record_too_large, index}),
    do: "record #{index}, counted from 0, exceeds :record_bytes_max"

  def reason({:op_not_increasing, index}),
    do: "record #{index}, counted from 0, has a place that is not above the one before it"

  def reason(:meta_too_large), do: "the meta has more than 1 MiB"
  def reason({:lsn_behind, open}), do: "transaction #{open} is open, which is a later one"
  def reason({:transaction_open, open}), do: "transaction #{open} is open, and not ended yet"
  def reason(:not_open), do: "the transaction is not open"
  def reason(:lsn_zero), do: "0 stands for no transaction"
  def reason(:timeout), do: "it was not done in time"
  def reason(_other), do: nil

  defp because(_name, []), do: ""

  defp because(:memory_bytes_max, [a, b]),
    do: ", three times #{inspect(a)} and #{inspect(b)} together"

  defp because(_name, from), do: ", which is #{Enum.map_join(from, ", ", &inspect/1)}"

  defp step(:open), do: "a file could not be opened"
  defp step(:read), do: "a file could not be read"
  defp step(:write), do: "a file could not be written"
  defp step(:sync), do: "a file could not be synced"
  defp step(:preallocate), do: "space for a file could not be reserved"
  defp step(:create), do: "a file or directory could not be created"
  defp step(:rename), do: "a file could not be renamed"
  defp step(:remove), do: "a file could not be removed"
  defp step(:list), do: "a directory could not be listed"
  defp step(:sync_dir), do: "a directory could not be synced"
  defp step(:lock), do: "the directory could not be locked"
  defp step(_other), do: "the disk failed"

  defp cause(name) when is_atom(name) do
    case :file.format_error(name) do
      ~c"unknown POSIX error" ++ _ -> inspect(name)
      text -> "#{text} (#{inspect(name)})"
    end
  end

  defp cause(number), do: "error #{number} of the operating system"

  @doc "What is wrong with a damaged place."
  @spec defect(atom) :: String.t()
  def defect(:checksum), do: "its checksum does not fit"
  def defect(:truncated), do: "it ends too early"
  def defect(:header), do: "it does not begin as a file of a store"
  def defect(:meaning), do: "its checksum fits, and it makes no sense"
end
