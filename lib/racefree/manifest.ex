defmodule Racefree.Manifest do
  # What a compiler of ours remembers from one run to the next: a term in a file that appears whole or not at all.
  @moduledoc false

  @doc "The term that was written last, by code of the same `version`; nil if there is none, whatever the file holds."
  @spec read(Path.t(), term) :: term
  def read(path, version) do
    with {:ok, bytes} <- File.read(path),
         {^version, term} <- :erlang.binary_to_term(bytes) do
      term
    else
      _ -> nil
    end
  rescue
    # No term at all.
    ArgumentError -> nil
  end

  @spec write!(Path.t(), term, term) :: :ok
  def write!(path, version, term) do
    temporary = "#{path}.#{System.pid()}.#{System.unique_integer([:positive])}"
    File.mkdir_p!(Path.dirname(path))
    File.write!(temporary, :erlang.term_to_binary({version, term}))
    File.rename!(temporary, path)
  end
end
