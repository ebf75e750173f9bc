defmodule Counter do
  @moduledoc "In a folder with an umlaut, in a file with a space."

  def read(pid) do
    {:ok, "Zähler 🐎", GenServer.call(pid, :read)}
  catch
    _ -> {:gone, "🐎"}
  end
end
